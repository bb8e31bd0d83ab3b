package redis

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestMain(m *testing.M) {
	code := stores.Main(m.Run)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "left behind:", err)
		code = 1
	}
	os.Exit(code)
}

// targetOf is the server's user default, or another one.
func targetOf(r *localstore.Redis, with ...func(*store.Target)) store.Target {
	target := store.Target{Endpoints: []string{r.Addr()}, Connect: 10 * time.Second, Command: 10 * time.Second}
	for _, set := range with {
		set(&target)
	}

	return target
}

func persist(t *store.Target) { t.Persist = true }

func as(username, password string) func(*store.Target) {
	return func(t *store.Target) { t.Username, t.Password = username, password }
}

// command within which a server that hangs is given up.
func short(t *store.Target) { t.Connect, t.Command = 500*time.Millisecond, 300*time.Millisecond }

func openTarget(t testing.TB, target store.Target) *session {
	t.Helper()
	s, err := Driver().Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)

	return s.(*session)
}

func openAt(t testing.TB, r *localstore.Redis, with ...func(*store.Target)) *session {
	t.Helper()

	return openTarget(t, targetOf(r, with...))
}

func named(name string) live.Setting { return live.Setting{Name: name} }

func user(role string) live.Setting { return live.Setting{Password: true, Role: role} }

// to are changes of parameters, given as names and texts.
func to(pairs ...string) []live.Change {
	var changes []live.Change
	for i := 0; i < len(pairs); i += 2 {
		changes = append(changes, live.Change{Setting: named(pairs[i]), To: live.Text(pairs[i+1])})
	}

	return changes
}

func read(t testing.TB, s *session, settings ...live.Setting) []live.State {
	t.Helper()
	states, err := s.Read(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}

	return states
}

// stored is the text of a parameter.
func stored(t testing.TB, s *session, name string) string {
	t.Helper()

	return read(t, s, named(name))[0].Stored.Text
}

func apply(t testing.TB, s *session, changes []live.Change) {
	t.Helper()
	if err := s.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

// raw asks the server past the driver.
func raw(t testing.TB, r *localstore.Redis, words ...any) any {
	t.Helper()
	c := r.Client()
	defer c.Close()
	reply, err := c.Do(t.Context(), words...).Result()
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}

	return reply
}

// all are the parameters and their values.
func all(t testing.TB, r *localstore.Redis) map[string]string {
	t.Helper()

	return readPairs(raw(t, r, "CONFIG", "GET", "*").([]any))
}

func settings(names ...string) []live.Setting {
	var all []live.Setting
	for _, name := range names {
		all = append(all, named(name))
	}

	return all
}
