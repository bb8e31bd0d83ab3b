package httpconfig

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// wholeConfig replaces the whole configuration of a Caddy.
func wholeConfig() lockstepv1alpha1.HTTPStore {
	return lockstepv1alpha1.HTTPStore{
		Read:  &lockstepv1alpha1.HTTPRead{Path: "/config/"},
		Apply: lockstepv1alpha1.HTTPRequest{Method: http.MethodPost, Path: "/config/", ContentType: "application/json"},
	}
}

// config is a configuration of a Caddy with one server, which waits for its requests so long.
func config(c *localstore.Caddy, wait string) string {
	return fmt.Sprintf(`{"admin": %s, "apps": {"http": {"servers": {"shop": {"read_timeout": %q, "listen": []}}}}}`, c.Admin(), wait)
}

func TestCaddyTakesAConfigurationAndShowsIt(t *testing.T) {
	t.Parallel()
	c := stores.OwnCaddy(t)
	s := openAt(t, c.URL(), wholeConfig())
	before := read(t, s, named("caddy"))
	if !before.Stored.Set || !before.NoUnset || before.Hidden || before.Problem != nil {
		t.Fatalf("got %+v", before)
	}
	mark := probe(t, s)
	if again := probe(t, s); again != mark {
		t.Error("the mark changed by itself")
	}
	want := config(c, "5s")
	apply(t, s, to("caddy", want))
	state := read(t, s, named("caddy"))
	if !state.Rule.Same(state.Stored.Text, want) || state.Rule.Same(state.Stored.Text, before.Stored.Text) {
		t.Errorf("got %+v", state)
	}
	if probe(t, s) == mark {
		t.Error("the mark is the same after a change")
	}
	// The way back.
	apply(t, s, []live.Change{{Setting: named("caddy"), To: before.Stored, Raw: true}})
	if got := read(t, s, named("caddy")); got.Stored != before.Stored {
		t.Errorf("got %s, want %s", got.Stored.Text, before.Stored.Text)
	}
}

// It answers 400 at /load, and 500 at /config, of which nobody can tell what became of it without looking.
func TestCaddyRefusesAWrongConfigurationAndKeepsTheFormer(t *testing.T) {
	t.Parallel()
	c := stores.OwnCaddy(t)
	load := wholeConfig()
	load.Apply.Path = "/load"
	at := map[string]*session{"/load": openAt(t, c.URL(), load), "/config/": openAt(t, c.URL(), wholeConfig())}
	apply(t, at["/load"], to("caddy", config(c, "5s")))
	before := read(t, at["/load"], named("caddy"))
	for path, s := range at {
		for name, text := range map[string]string{
			"an unknown application": fmt.Sprintf(`{"admin": %s, "apps": {"canary-7f": {}}}`, c.Admin()),
			"a time that is none":    config(c, "canary-7f"),
			"no JSON":                `{"canary-7f`,
		} {
			err := s.Apply(t.Context(), to("caddy", text))
			_, refused := errors.AsType[*store.RefusedError](err)
			if err == nil || refused != (path == "/load") || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s, %s: got %v", path, name, err)
			}
			if got := read(t, s, named("caddy")); got.Stored != before.Stored {
				t.Errorf("%s, %s: something changed", path, name)
			}
		}
	}
	if err := before.Rule.Check(`{"canary-7f`); err == nil {
		t.Error("what is no JSON passes the check")
	}
}

func TestOfTwoWhoReadTheSameOnlyTheFirstChangesIt(t *testing.T) {
	t.Parallel()
	c := stores.OwnCaddy(t)
	one, two := openAt(t, c.URL(), wholeConfig()), openAt(t, c.URL(), wholeConfig())
	read(t, one, named("caddy"))
	read(t, two, named("caddy"))
	apply(t, one, to("caddy", config(c, "5s")))
	err := two.Apply(t.Context(), to("caddy", config(c, "6s")))
	if _, refused := errors.AsType[*store.RefusedError](err); err == nil || refused || !strings.Contains(err.Error(), "somebody else has changed it") {
		t.Errorf("got %v", err)
	}
	state := read(t, two, named("caddy"))
	if !state.Rule.Same(state.Stored.Text, config(c, "5s")) {
		t.Errorf("got %+v", state)
	}
	apply(t, two, to("caddy", config(c, "6s")))
}

func TestPartsOfACaddyAreSettingsOfTheirOwn(t *testing.T) {
	t.Parallel()
	c := stores.OwnCaddy(t)
	apply(t, openAt(t, c.URL(), wholeConfig()), to("caddy", config(c, "5s")))
	s := openAt(t, c.URL(), lockstepv1alpha1.HTTPStore{
		Read:  &lockstepv1alpha1.HTTPRead{Path: "/config/apps/http/servers/{prefix}/{name}"},
		Apply: lockstepv1alpha1.HTTPRequest{Path: "/config/apps/http/servers/{prefix}/{name}", ContentType: "application/json"},
	})
	timeout := live.Setting{Prefix: "shop", Name: "read_timeout"}
	state := read(t, s, timeout)
	// Caddy shows a time as it was given.
	if !state.Rule.Same(state.Stored.Text, `"5s"`) {
		t.Fatalf("got %+v", state)
	}
	apply(t, s, []live.Change{{Setting: timeout, To: live.Text(`"7s"`)}})
	if state = read(t, s, timeout); !state.Rule.Same(state.Stored.Text, `"7s"`) {
		t.Errorf("got %+v", state)
	}
	// What is below something that there is not cannot be asked for.
	if state = read(t, s, live.Setting{Prefix: "none", Name: "x"}); state.Problem == nil || state.Problem.Cause != live.CauseUnknown || state.Rule != nil {
		t.Errorf("got %+v", state)
	}
}

func TestACaddyThatHangsIsGivenUpAndOneThatIsBackIsFound(t *testing.T) {
	t.Parallel()
	c := stores.OwnCaddy(t)
	s := openAt(t, c.URL(), wholeConfig(), func(t *store.Target) { t.Connect, t.Command = 500*time.Millisecond, 300*time.Millisecond })
	read(t, s, named("caddy"))
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	want := config(c, "5s")
	err := s.Apply(t.Context(), to("caddy", want))
	if _, refused := errors.AsType[*store.RefusedError](err); err == nil || refused || strings.Contains(err.Error(), "5s") {
		t.Errorf("got %v", err)
	}
	for name, do := range map[string]func() error{
		"read":  func() error { _, err := s.Read(t.Context(), []live.Setting{named("caddy")}); return err },
		"probe": func() error { _, err := s.Probe(t.Context()); return err },
		"open":  func() error { _, err := Driver(s.clock).Open(t.Context(), s.target); return err },
	} {
		if err := do(); err == nil || errors.Is(err, store.ErrLogin) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := errors.Join(c.Resume(), c.Kill()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), []live.Setting{named("caddy")}); err == nil {
		t.Error("a server that is dead was read")
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	patient := openAt(t, c.URL(), wholeConfig())
	state := read(t, patient, named("caddy"))
	if state.Rule.Same(state.Stored.Text, want) {
		t.Error("it kept what it does not keep")
	}
	apply(t, patient, to("caddy", want))
}

func probe(t testing.TB, s *session) string {
	t.Helper()
	mark, err := s.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	return mark
}
