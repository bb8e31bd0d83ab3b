package redis

import (
	"context"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

const (
	// noValue is no value of any parameter, so that CONFIG SET fails at it.
	noValue = "lockstep-asks-what-it-would-take"
	// noRule is no rule of ACL SETUSER.
	noRule = "lockstep-asks-whether-it-may"
)

// Check implements [store.Checker]. Nothing that it sends can be carried out; the package's documentation says how.
func (s *session) Check(ctx context.Context, changes []live.Change) error {
	parameters, users, err := sorted(changes)
	if err != nil {
		return err
	}
	if err := s.checkParameters(ctx, parameters); err != nil {
		return err
	}
	for _, c := range users {
		if err := s.checkUser(ctx, c); err != nil {
			return err
		}
	}

	return s.checkKept(ctx)
}

// checkParameters asks what CONFIG SET would say of the parameters.
func (s *session) checkParameters(ctx context.Context, changes []live.Change) error {
	var asked []live.Change
	for _, c := range changes {
		if name := Normalise(c.Setting).Name; triable(name) {
			asked = append(asked, c)
		}
	}
	last := lastOf(asked)
	if len(asked) == 0 || last == "" || !s.serverNow().together() {
		return nil
	}
	c := command(ctx, configSet, append(s.pairs(asked), last, noValue)...)
	if err := s.send(ctx, c); err != nil {
		return err
	}
	f, no := failed(c.Err())
	if !no {
		return &store.RefusedError{Reason: "it takes what no server of its version does: it is no Redis or Valkey, look at its settings"}
	}
	if name, _ := f.refused(); name == last {
		return nil // the others were taken, and taken back
	}

	return s.notSet(f, asked)
}

// triable says whether a parameter may be set for the time of a command that fails.
func triable(name string) bool { return dangerous(name) == "" && !strings.Contains(name, ".") }

// lastOf is a parameter that is none of those in the changes, and of which [noValue] is no value.
func lastOf(changes []live.Change) string {
	for _, name := range []string{"loglevel", "appendfsync", "maxmemory-policy", "rdbcompression"} {
		free := true
		for _, c := range changes {
			free = free && Normalise(c.Setting).Name != name
		}
		if free {
			return name
		}
	}

	return ""
}

// checkUser asks whether a password could be changed.
func (s *session) checkUser(ctx context.Context, change live.Change) error {
	if _, err := passwordRules(change); err != nil {
		return &store.RefusedError{Setting: change.Setting, Reason: err.Error()}
	}
	stored, err := s.stored(ctx, change.Setting)
	if err != nil {
		return err
	}
	if change.Keep && stored.Text == noPassword {
		return &store.RefusedError{Setting: change.Setting, Reason: notBeside}
	}
	c := command(ctx, aclSetUser, change.Setting.Role, noRule)
	if err := s.send(ctx, c); err != nil {
		return err
	}
	if f, _ := failed(c.Err()); f.code == denied || f.passing() != "" {
		return s.refusal(aclSetUser, f)
	}

	return nil
}

// checkKept finds out that the server has no file to keep anything in.
func (s *session) checkKept(ctx context.Context) error {
	if !s.target.Persist {
		return nil
	}
	text, err := s.info(ctx)
	if err != nil {
		return err
	}
	if file, told := text["config_file"]; told && file == "" {
		return &store.RefusedError{Reason: withoutFileText}
	}

	return nil
}

// info is what the server says of itself; nothing when our user may not ask.
func (s *session) info(ctx context.Context) (map[string]string, error) {
	c := command(ctx, info, "server")
	if err := s.send(ctx, c); err != nil {
		return nil, err
	}

	return readInfo(c), nil
}

func readInfo(c *goredis.Cmd) map[string]string {
	text, _ := c.Text() // who may not ask gets nothing
	lines := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			lines[name] = value
		}
	}

	return lines
}
