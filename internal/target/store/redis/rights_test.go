package redis

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestTheCommandThatMakesAUser(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Rights{
		"ACL SETUSER lockstep reset on >PASSWORD +config|get +config|set +info":                                     {},
		"ACL SETUSER lockstep reset on >PASSWORD +config|get +config|set +info +config|rewrite +select":             {Persist: true, Database: true},
		"ACL SETUSER lockstep reset on >PASSWORD +config|get +config|set +info +acl|getuser +acl|setuser +acl|list": {Passwords: true},
		"ACL SETUSER lockstep reset on >PASSWORD +config|get +config|set +info +config|rewrite +acl|getuser +acl|setuser +acl|list +acl|save": {
			Passwords: true, Persist: true,
		},
	} {
		if diff := cmp.Diff(want, r.SetUser("lockstep")); diff != "" {
			t.Error(diff)
		}
	}
}

// grant makes a user with the rights and returns the option that logs in as it.
func grant(t *testing.T, r *localstore.Redis, rights Rights) func(*store.Target) {
	t.Helper()
	password := rand.Text()
	var words []any
	for word := range strings.FieldsSeq(strings.ReplaceAll(rights.SetUser("lockstep"), "PASSWORD", password)) {
		words = append(words, word)
	}
	raw(t, r, words...)

	return as("lockstep", password)
}

func TestEverythingWorksWithTheLeastRights(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]localstore.RedisOptions{
		"users in the configuration": {ConfigFile: true},
		"users in a file":            {ConfigFile: true, UsersFile: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := stores.OwnRedis(t, o)
			raw(t, r, "ACL", "SETUSER", "app", "on", ">first", "+get")
			login := grant(t, r, Rights{Passwords: true, Persist: true, Database: true})
			s := openAt(t, r, login, persist, func(t *store.Target) { t.Database = "3" })
			raw(t, r, "ACL", "LOG", "RESET")
			states := read(t, s, named("maxmemory"), named("databases"), user("app"))
			if states[0].Problem != nil || states[1].Problem.Cause != live.CauseFixed || states[2].Problem != nil {
				t.Errorf("got %+v", states)
			}
			changes := append(to("maxmemory", "1gb", "save", "900 1"), live.Change{Setting: user("app"), To: live.Text("second"), Keep: true})
			if err := s.Check(t.Context(), changes); err != nil {
				t.Fatal(err)
			}
			mark := probe(t, s)
			apply(t, s, changes)
			if probe(t, s) == mark {
				t.Error("the mark is the same")
			}
			accepted(t, s, map[string]bool{"first": true, "second": true})
			if err := s.Retire(t.Context(), "app", "second"); err != nil {
				t.Fatal(err)
			}
			accepted(t, s, map[string]bool{"first": false, "second": true})
			for _, entry := range raw(t, r, "ACL", "LOG").([]any) {
				if text := strings.Join(texts(entry), " "); strings.Contains(text, "command") {
					t.Errorf("something was denied: %v", entry)
				}
			}
			if err := errors.Join(r.Kill(), r.Restart(t.Context())); err != nil {
				t.Fatal(err)
			}
			if got := stored(t, s, "maxmemory"); got != "1073741824" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestWhatIsDeniedIsSaidWithTheRightThatIsMissing(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, localstore.RedisOptions{ConfigFile: true})
	raw(t, r, "ACL", "SETUSER", "app", "on", ">first")
	with := func(rights string) *session {
		words := []any{"ACL", "SETUSER", "lockstep", "reset", "on", ">canary-7f"}
		for right := range strings.FieldsSeq(rights) {
			words = append(words, right)
		}
		raw(t, r, words...)

		return openAt(t, r, as("lockstep", "canary-7f"), persist)
	}
	denied := func(name, right string, states []live.State) {
		t.Helper()
		for _, state := range states {
			if state.Problem == nil || state.Problem.Cause != live.CauseDenied || !strings.Contains(state.Problem.Message, "ACL SETUSER lockstep "+right) {
				t.Errorf("%s: got %+v", name, state.Problem)
			}
		}
	}
	s := with("")
	denied("nothing at all", "+config|get", read(t, s, named("hz"), named("save")))
	denied("nothing at all", "+acl|getuser", read(t, s, user("app")))
	if _, err := s.Probe(t.Context()); !errors.Is(err, store.ErrNoProbe) || !strings.Contains(err.Error(), "+config|get") {
		t.Errorf("got %v", err)
	}
	s = with("+config|get +acl|getuser")
	denied("only to read", "+config|set", read(t, s, named("hz")))
	password := []live.Change{{Setting: user("app"), To: live.Text("canary-second")}}
	for name, c := range map[string]struct {
		rights, right string
		do            func(*session) error
	}{
		"to set":           {"+config|get +config|rewrite", "+config|set", func(s *session) error { return s.Apply(t.Context(), to("hz", "11")) }},
		"to ask":           {"+config|get", "+config|set", func(s *session) error { return s.Check(t.Context(), to("hz", "11")) }},
		"to keep":          {"+config|get +config|set", "+config|rewrite", func(s *session) error { return s.Apply(t.Context(), to("hz", "11")) }},
		"to see users":     {"+config|get +config|rewrite", "+acl|getuser", func(s *session) error { return s.Apply(t.Context(), password) }},
		"to change users":  {"+config|get +config|rewrite +acl|getuser", "+acl|setuser", func(s *session) error { return s.Apply(t.Context(), password) }},
		"to ask for users": {"+config|get +acl|getuser", "+acl|setuser", func(s *session) error { return s.Check(t.Context(), password) }},
		"to retire":        {"+config|get +config|rewrite +acl|getuser", "+acl|setuser", func(s *session) error { return s.Retire(t.Context(), "app", "canary-second") }},
	} {
		err := c.do(with(c.rights))
		if refused, ok := errors.AsType[*store.RefusedError](err); !ok || !strings.Contains(refused.Reason, "ACL SETUSER lockstep "+c.right) {
			t.Errorf("%s: got %v", name, err)
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error has a secret: %v", name, err)
		}
	}
	if got := all(t, r)["hz"]; got != "10" {
		t.Errorf("hz is %s", got)
	}
}

func TestTheProbeDoesNotFillTheLogOfWhatIsDenied(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	raw(t, r, "ACL", "SETUSER", "lockstep", "on", ">p", "+config|get")
	s := openAt(t, r, as("lockstep", "p"))
	mark := probe(t, s)
	raw(t, r, "ACL", "LOG", "RESET")
	if again := probe(t, s); again != mark {
		t.Error("the mark changed by itself")
	}
	if entries := raw(t, r, "ACL", "LOG").([]any); len(entries) != 0 {
		t.Errorf("got %v", entries)
	}
}

// A right to CONFIG SET is a right to all parameters: what limits it is the LiveStore, not the server.
func TestARightToSetIsARightToLockEverybodyOut(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	s := openAt(t, r, grant(t, r, Rights{}))
	apply(t, s, to("requirepass", "locked"))
	if _, err := Driver().Open(t.Context(), targetOf(r)); !errors.Is(err, store.ErrLogin) {
		t.Errorf("got %v", err)
	}
}
