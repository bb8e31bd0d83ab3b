package redis

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestTheChangeOfAPasswordIsWrittenInDigests(t *testing.T) {
	t.Parallel()
	one, two := digest("one"), digest("two")
	for name, c := range map[string]struct {
		change live.Change
		rules  []string
		fails  bool
	}{
		"swap":                          {live.Change{To: live.Text("one")}, []string{"resetpass", "#" + one}, false},
		"dual":                          {live.Change{To: live.Text("one"), Keep: true}, []string{"#" + one}, false},
		"the way back":                  {live.Change{To: live.Text(one + " " + two), Raw: true}, []string{"resetpass", "#" + one, "#" + two}, false},
		"the way back to any password":  {live.Change{To: live.Text("nopass"), Raw: true}, []string{"nopass"}, false},
		"the way back to none":          {live.Change{Raw: true}, []string{"resetpass"}, false},
		"a way back that is no digest":  {live.Change{To: live.Text("allcommands"), Raw: true}, nil, true},
		"a password that is a rule too": {live.Change{To: live.Text("nopass")}, []string{"resetpass", "#" + digest("nopass")}, false},
	} {
		rules, err := passwordRules(c.change)
		if diff := cmp.Diff(c.rules, rules); diff != "" || (err != nil) != c.fails {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	sum := sha256.Sum256([]byte("one"))
	if one != hex.EncodeToString(sum[:]) {
		t.Errorf("got %s", one)
	}
	if err := (passwordRule{}).Check(""); err == nil {
		t.Error("an empty password is taken")
	}
}

func TestAPasswordIsSwappedAtOnce(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	raw(t, r, "ACL", "SETUSER", "app", "on", ">first", "~app:*", "+get")
	s := openAt(t, r)
	before := raw(t, r, "ACL", "GETUSER", "app")
	state := read(t, s, user("app"))[0]
	if !state.Rule.Same(state.Stored.Text, "first") || state.Rule.Same(state.Stored.Text, "second") || state.NoUnset {
		t.Errorf("got %+v", state)
	}
	change := []live.Change{{Setting: user("app"), To: live.Text("second")}}
	if err := s.Check(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, raw(t, r, "ACL", "GETUSER", "app")); diff != "" {
		t.Errorf("a check changed something:\n%s", diff)
	}
	apply(t, s, change)
	accepted(t, s, map[string]bool{"first": false, "second": true, "": false})
	// All other rules stay, and the way back is exact.
	apply(t, s, []live.Change{{Setting: user("app"), To: state.Stored, Raw: true}})
	if diff := cmp.Diff(before, raw(t, r, "ACL", "GETUSER", "app")); diff != "" {
		t.Errorf("the way back leads elsewhere (-want +got):\n%s", diff)
	}
}

func TestTwoPasswordsAreValidUntilOneIsRetired(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	raw(t, r, "ACL", "SETUSER", "app", "on", ">first", "~app:*", "+get")
	s := openAt(t, r)
	before := read(t, s, user("app"))[0].Stored
	apply(t, s, []live.Change{{Setting: user("app"), To: live.Text("second"), Keep: true}})
	accepted(t, s, map[string]bool{"first": true, "second": true, "third": false})
	state := read(t, s, user("app"))[0]
	if !state.Rule.Same(state.Stored.Text, "second") {
		t.Error("what was added is not found")
	}
	both := state.Stored
	if err := s.Retire(t.Context(), "app", "second"); err != nil {
		t.Fatal(err)
	}
	accepted(t, s, map[string]bool{"first": false, "second": true})
	state = read(t, s, user("app"))[0]
	if !state.Rule.Same(state.Stored.Text, "second") || state.Stored == both {
		t.Errorf("got %+v", state)
	}
	if err := s.Retire(t.Context(), "app", "second"); err != nil { // it is the only one already
		t.Error(err)
	}
	apply(t, s, []live.Change{{Setting: user("app"), To: both, Raw: true}})
	if got := read(t, s, user("app"))[0].Stored; got != both {
		t.Errorf("got %v, want both back", got)
	}
	apply(t, s, []live.Change{{Setting: user("app"), To: before, Raw: true}})
	accepted(t, s, map[string]bool{"first": true, "second": false})
}

func TestUsersWithoutAPassword(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	raw(t, r, "ACL", "SETUSER", "app", "on", "nopass", "+get")
	raw(t, r, "ACL", "SETUSER", "idle", "on", "+get")
	s := openAt(t, r)
	states := read(t, s, user("app"), user("idle"))
	if states[0].Stored != live.Text(noPassword) || states[1].Stored.Set || states[0].Rule.Same(noPassword, noPassword) {
		t.Errorf("got %+v", states)
	}
	keep := []live.Change{{Setting: user("app"), To: live.Text("second"), Keep: true}}
	for _, do := range []func(context.Context, []live.Change) error{s.Check, s.Apply} {
		if err := do(t.Context(), keep); !errors.Is(err, &store.RefusedError{Setting: user("app"), Reason: notBeside}) && !strings.Contains(err.Error(), "nopass") {
			t.Errorf("got %v", err)
		}
	}
	accepted(t, s, map[string]bool{"anything": true})
	for i, name := range []string{"app", "idle"} {
		apply(t, s, []live.Change{{Setting: user(name), To: live.Text("second")}})
		if state := read(t, s, user(name))[0]; !state.Rule.Same(state.Stored.Text, "second") {
			t.Errorf("%s: got %+v", name, state)
		}
		apply(t, s, []live.Change{{Setting: user(name), To: states[i].Stored, Raw: true}})
		if state := read(t, s, user(name))[0]; state.Stored != states[i].Stored {
			t.Errorf("%s: got %+v, want what was there before", name, state)
		}
	}
}

func TestNoUserIsMade(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	s := openAt(t, r)
	change := []live.Change{{Setting: user("nobody"), To: live.Text("a")}}
	for name, err := range map[string]error{
		"check": s.Check(t.Context(), change), "apply": s.Apply(t.Context(), change), "retire": s.Retire(t.Context(), "nobody", "a"),
	} {
		if refused, ok := errors.AsType[*store.RefusedError](err); !ok || refused.Setting != user("nobody") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if users := raw(t, r, "ACL", "USERS").([]any); len(users) != 1 {
		t.Errorf("got %v", users)
	}
}

// requirepass changes for who logs in from then on; who is logged in stays so.
func TestARequiredPasswordIsForThoseWhoComeLater(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, localstore.RedisOptions{Password: "first"})
	s := openAt(t, r, as("", "first"))
	read(t, s, named("hz"))
	apply(t, s, to("requirepass", "second"))
	if got := stored(t, s, "requirepass"); got != "second" {
		t.Errorf("got %q", got)
	}
	read(t, s, named("hz")) // the connection is open
	for password, lets := range map[string]bool{"first": false, "second": true, "": false} {
		fresh, err := Driver().Open(t.Context(), targetOf(r, as("", password)))
		if lets == (err != nil) || err != nil && !errors.Is(err, store.ErrLogin) {
			t.Errorf("%q: got %v", password, err)
		}
		if err == nil {
			fresh.Close()
		}
	}
	// A connection that has to be made anew says so too.
	_ = s.client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no").Err() // it ends its own connection
	var err error
	for range 2 { // the first may still find the broken one
		_, err = s.Read(t.Context(), []live.Setting{named("hz")})
	}
	if !errors.Is(err, store.ErrLogin) {
		t.Errorf("got %v", err)
	}
}

func TestThePasswordOfTheSessionItselfIsRotated(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, own())
	raw(t, r, "ACL", "SETUSER", "lockstep", "on", ">first", "+@all")
	s := openAt(t, r, as("lockstep", "first"))
	apply(t, s, []live.Change{{Setting: user("lockstep"), To: live.Text("second")}})
	read(t, s, named("hz"))
	accepts := func(password string) bool {
		ok, err := s.Accepts(t.Context(), "lockstep", password)
		if err != nil {
			t.Fatal(err)
		}

		return ok
	}
	if accepts("first") || !accepts("second") {
		t.Error("the password was not rotated")
	}
	if _, err := Driver().Open(t.Context(), targetOf(r, as("lockstep", "first"))); !errors.Is(err, store.ErrLogin) {
		t.Errorf("got %v", err)
	}
	openAt(t, r, as("lockstep", "second"))
}

// No clear password goes over the connection but to log in, so that no log of the server can have one.
func TestNoPasswordIsSentInClear(t *testing.T) {
	t.Parallel()
	r := stores.OwnRedis(t, localstore.RedisOptions{Args: []string{"--slowlog-log-slower-than", "0"}})
	raw(t, r, "ACL", "SETUSER", "app", "on", "nopass", "+get")
	monitor, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	lines := bufio.NewScanner(monitor)
	if _, err := monitor.Write([]byte("MONITOR\r\n")); err != nil || !lines.Scan() {
		t.Fatalf("MONITOR: %v", err)
	}
	s := openAt(t, r)
	canary := rand.Text()
	for _, change := range []live.Change{{To: live.Text(canary)}, {To: live.Text(canary + "2"), Keep: true}} {
		change.Setting = user("app")
		if err := s.Check(t.Context(), []live.Change{change}); err != nil {
			t.Fatal(err)
		}
		apply(t, s, []live.Change{change})
	}
	// The server redacts the parameters that are secrets.
	for _, name := range []string{"requirepass", "masterauth"} {
		if err := s.Check(t.Context(), to(name, canary, "hz", "11")); err != nil {
			t.Fatal(err)
		}
		apply(t, s, to("masterauth", canary))
		_ = s.Apply(t.Context(), to(name, canary, "no-such-parameter", "x"))
	}
	raw(t, r, "ECHO", "the-end")
	// It shows no commands of administrators at all.
	for lines.Scan() && !strings.Contains(lines.Text(), "the-end") {
		if strings.Contains(lines.Text(), canary) {
			t.Errorf("MONITOR shows %s", lines.Text())
		}
	}
	c := r.Client()
	defer c.Close()
	entries, err := c.SlowLogGet(t.Context(), 100).Result()
	if err != nil || len(entries) < 8 {
		t.Errorf("got %d entries and %v", len(entries), err)
	}
	for _, e := range entries {
		if strings.Contains(strings.Join(e.Args, " "), canary) {
			t.Errorf("SLOWLOG shows %v", e.Args)
		}
	}
}

func accepted(t *testing.T, s *session, want map[string]bool) {
	t.Helper()
	got := map[string]bool{}
	for password := range want {
		ok, err := s.Accepts(t.Context(), "app", password)
		if err != nil {
			t.Fatal(err)
		}
		got[password] = ok
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("which passwords are valid (-want +got):\n%s", diff)
	}
}
