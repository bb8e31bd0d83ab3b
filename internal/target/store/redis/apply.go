package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// Apply implements [store.Session]: the parameters first, as one command where the server takes several, then the
// passwords, then what makes the server keep them.
func (s *session) Apply(ctx context.Context, changes []live.Change) error {
	parameters, users, err := sorted(changes)
	if err != nil {
		return err
	}
	keepers, err := s.keepers(ctx, len(parameters) > 0, len(users) > 0)
	if err != nil {
		return err
	}
	if err := s.keepFirst(ctx, keepers); err != nil {
		return err
	}
	for batch := range slices.Chunk(parameters, s.atOnce(len(parameters))) {
		if err := s.set(ctx, batch); err != nil {
			return err
		}
	}
	for _, c := range users {
		if err := s.setUser(ctx, c); err != nil {
			return err
		}
	}

	if err := s.keep(ctx, keepers, "what was set is in force but not kept"); err != nil {
		return err
	}

	return nil
}

// sorted parts parameters from passwords, each in their order.
func sorted(changes []live.Change) (parameters, users []live.Change, err error) {
	for _, c := range changes {
		problem := misplaced(c.Setting)
		switch {
		case problem != nil:
			return nil, nil, &store.RefusedError{Setting: c.Setting, Reason: problem.Message}
		case c.Setting.Password:
			users = append(users, c)
		case !c.To.Set:
			return nil, nil, &store.RefusedError{Setting: c.Setting, Reason: "cannot be unset: Redis does not tell its defaults from what was set"}
		default:
			parameters = append(parameters, c)
		}
	}

	return parameters, users, nil
}

// atOnce is how many parameters one CONFIG SET takes.
func (s *session) atOnce(all int) int {
	if s.serverNow().together() {
		return max(all, 1)
	}

	return 1
}

func (s *session) set(ctx context.Context, changes []live.Change) error {
	c := command(ctx, configSet, s.pairs(changes)...)
	if err := s.send(ctx, c); err != nil {
		return err
	}
	f, no := failed(c.Err())
	if !no {
		return nil
	}

	return s.notSet(f, changes)
}

// pairs are the names and values for CONFIG SET.
func (s *session) pairs(changes []live.Change) []string {
	major := s.serverNow().major
	pairs := make([]string, 0, 2*len(changes)+2)
	for _, c := range changes {
		pairs = append(pairs, serverName(Normalise(c.Setting).Name, major), c.To.Text)
	}

	return pairs
}

// notSet is the answer to a CONFIG SET of the changes, as an error that names the one that it is about.
func (s *session) notSet(f failure, changes []live.Change) error {
	name, reason := f.refused()
	i := slices.IndexFunc(changes, func(c live.Change) bool { return Normalise(c.Setting).Name == name })
	if i < 0 && len(changes) == 1 && f.code == "ERR" && f.passing() == "" {
		i, name = 0, Normalise(changes[0].Setting).Name
	}
	if i < 0 {
		return s.refusal(configSet, f)
	}

	return &store.RefusedError{Setting: changes[i].Setting, Reason: inWordsOfOurs(reason, s.form(name))}
}

func (s *session) setUser(ctx context.Context, change live.Change) error {
	rules, err := passwordRules(change)
	if err != nil {
		return &store.RefusedError{Setting: change.Setting, Reason: err.Error()}
	}
	stored, err := s.stored(ctx, change.Setting)
	if err != nil {
		return err
	}
	if change.Keep && stored.Text == noPassword {
		return &store.RefusedError{Setting: change.Setting, Reason: notBeside}
	}
	c := command(ctx, aclSetUser, append([]string{change.Setting.Role}, rules...)...)
	if err := s.send(ctx, c); err != nil {
		return err
	}
	if f, no := failed(c.Err()); no {
		return s.refusal(aclSetUser, f)
	}

	return nil
}

// notBeside is why no password is added to those of a user that takes any: the server would take but the new one from then on.
const notBeside = "cannot be one of two: the user logs in with any password now (nopass); use mode swap"

// stored is what a user has now. That there is no such user is a refusal: ACL SETUSER would make it.
func (s *session) stored(ctx context.Context, user live.Setting) (live.Value, error) {
	states, err := s.Read(ctx, []live.Setting{user})
	if err != nil {
		return live.Value{}, err
	}
	if p := states[0].Problem; p != nil && p.Cause != live.CauseDangerous {
		return live.Value{}, &store.RefusedError{Setting: user, Reason: p.Message}
	}

	return states[0].Stored, nil
}

// Retire implements [store.Retirer].
func (s *session) Retire(ctx context.Context, role, password string) error {
	user := live.Setting{Password: true, Role: role}
	stored, err := s.stored(ctx, user)
	if err != nil || stored == live.Text(digest(password)) {
		return err
	}

	return s.Apply(ctx, []live.Change{{Setting: user, To: live.Text(password)}})
}

// keepers are the commands that make the server keep a change.
func (s *session) keepers(ctx context.Context, parameters, users bool) ([]string, error) {
	if !s.target.Persist {
		return nil, nil
	}
	if !users {
		return []string{configRewrite}, nil
	}
	get := command(ctx, configGet, "aclfile")
	if err := s.send(ctx, get); err != nil {
		return nil, err
	}
	reply, _ := get.Slice() // who may not read it is refused by what comes
	switch {
	case readPairs(reply)["aclfile"] == "":
		return []string{configRewrite}, nil // it writes the users too
	case parameters:
		return []string{configRewrite, aclSave}, nil
	default:
		return []string{aclSave}, nil
	}
}

// keepFirst makes the server keep what it has before the session's first change: one that cannot would have to be changed back
// otherwise.
func (s *session) keepFirst(ctx context.Context, keepers []string) error {
	s.mu.Lock()
	keepers = slices.DeleteFunc(slices.Clone(keepers), func(name string) bool { return s.keeps[name] })
	s.mu.Unlock()
	if err := s.keep(ctx, keepers, "nothing was changed, since it could not be kept"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range keepers {
		s.keeps[name] = true
	}

	return nil
}

// keep makes the server write its configuration, or its users, to its disk. So says where that leaves what is refused.
func (s *session) keep(ctx context.Context, keepers []string, so string) error {
	for _, name := range keepers {
		c := command(ctx, name)
		if err := s.send(ctx, c); err != nil {
			return err
		}
		f, no := failed(c.Err())
		if !no {
			continue
		}
		err := s.refusal(name, f)
		if refused, ok := errors.AsType[*store.RefusedError](err); ok {
			if strings.HasPrefix(f.text, withoutFile) {
				refused.Reason = withoutFileText
			}
			refused.Reason = fmt.Sprintf("%s: %s", so, refused.Reason)
		}

		return err
	}

	return nil
}

// withoutFile begins the answer to CONFIG REWRITE of a server that was started without a file.
const withoutFile = "The server is running without a config file"

const withoutFileText = "it runs without a configuration file; start it with one, or set persist of the LiveStore to false"
