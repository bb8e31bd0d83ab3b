package live_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/journal"
)

// mortal lets a controller write so many times, to the API server and to stores together, and no more: as for the world,
// it is dead then.
type mortal struct {
	mu    sync.Mutex
	left  int
	died  chan struct{}
	wrote int
}

var errDead = errors.New("the manager is dead")

func (m *mortal) write() error {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.left == 0 {
		select {
		case <-m.died:
		default:
			close(m.died)
		}

		return errDead
	}

	m.left--
	m.wrote++

	return nil
}

func (m *mortal) use(p *parts) {
	h := &hooks{apply: func(_ context.Context, _ []live.Change, do func() error) error {
		if err := m.write(); err != nil {
			return err
		}

		return do()
	}}
	p.drivers = h.drivers()
	p.wrap = func(next http.RoundTripper) http.RoundTripper {
		return journal.RoundTripper(func(q *http.Request) (*http.Response, error) {
			if q.Method != http.MethodGet {
				if err := m.write(); err != nil {
					return nil, err
				}
			}

			return next.RoundTrip(q)
		})
	}
}

// A manager that is killed after any of its writes leaves nothing that the next one does not bring to its end: what is
// asked for is in force, and what was there before everything comes back with the deletion.
func TestAManagerThatIsKilledBetweenAnyTwoWritesLosesNothing(t *testing.T) {
	t.Parallel()

	const enough = 14

	// The very first write makes the key of the digests; without it a manager does not start.
	for n := 1; n <= enough; n++ {
		t.Run(fmt.Sprintf("after %d writes", n), func(t *testing.T) {
			t.Parallel()
			killedAfter(t, n)
		})
	}
}

func killedAfter(t *testing.T, n int) {
	t.Helper()

	w := newWorld(t)
	one, other := w.cache("one"), w.cache("other")
	one.set("maxmemory-samples", "9")
	other.set("maxmemory-samples", "8")

	l := liveConfig("both", "one", from("maxmemory-samples", "sizes", "samples"))
	l.Spec.Settings = append(l.Spec.Settings, lockstepv1alpha1.LiveSetting{
		Name: "maxmemory-samples", ValueFrom: secretValue("sizes", "samples"), StoreRef: &lockstepv1alpha1.StoreReference{Name: "other"},
	})
	w.secret("sizes", map[string]string{"samples": "6"})

	m := &mortal{left: n, died: make(chan struct{})}
	first := w.start(m.use)

	w.create(l)

	// Its first change, then a rotation, then a key that is no longer asked for: it dies somewhere on the way.
	alive := w.until(m.died, "both", at(1))
	if alive {
		w.secret("sizes", map[string]string{"samples": "5"})
		alive = w.until(m.died, "both", at(2))
	}

	if alive {
		w.edit("both", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings = s.Settings[:1] })
		alive = w.until(m.died, "both", at(3))
	}

	if alive {
		t.Logf("the story has %d writes", m.wrote)
	}

	first.stop()
	w.secret("sizes", map[string]string{"samples": "4"})
	w.start()

	done := w.config("both", "to have the last value", func(l *lockstepv1alpha1.LiveConfig) bool {
		return isReady(l) && one.get("maxmemory-samples") == "4"
	})

	want := "4"
	if len(done.Spec.Settings) == 1 {
		want = "8"
	}

	other.expect("maxmemory-samples", want)

	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	one.expect("maxmemory-samples", "9")
	other.expect("maxmemory-samples", "8")
}

// until waits for a LiveConfig, or until the manager is dead; it returns false then.
func (w *world) until(died <-chan struct{}, name string, condition func(*lockstepv1alpha1.LiveConfig) bool) bool {
	w.Helper()

	events, err := w.client.Watch(w.Context(), &lockstepv1alpha1.LiveConfigList{}, inNamespace(w.namespace))
	w.must(err)

	defer events.Stop()

	for {
		select {
		case <-died:
			return false
		case event, open := <-events.ResultChan():
			if !open {
				w.Fatal("the watch has ended")
			}

			if l, ok := event.Object.(*lockstepv1alpha1.LiveConfig); ok && l.Name == name && condition(l) {
				return true
			}
		}
	}
}

func TestNoSecretValueIsEverTold(t *testing.T) {
	t.Parallel()

	const canary = "canary-7f3a-do-not-tell"

	w := newWorld(t)
	w.cache("cache", func(l *lockstepv1alpha1.LiveStore) { l.Spec.Settings.Allow = []string{"*", "password=app"} })

	r := w.start()

	// Every way a value can take: accepted, refused by its form, refused by a validation, by a check, and as a password.
	w.secret("values", map[string]string{
		"form": canary, "free": canary, "password": canary + "-password", "more": canary,
	})
	w.create(
		liveConfig("form", "cache", from("maxmemory", "values", "form")),
		liveConfig("free", "cache", from("proc-title-template", "values", "free")),
	)

	password := liveConfig("password", "cache", lockstepv1alpha1.LiveSetting{Password: &lockstepv1alpha1.LivePassword{
		Role: "app", ValueFrom: *secretValue("values", "password"),
	}})
	validated := liveConfig("validated", "cache", from("loglevel", "values", "more"))
	validated.Spec.Settings[0].Validate = `value == "nothing"`
	checked := liveConfig("checked", "cache", set("maxmemory-samples", "4"))
	checked.Spec.Checks = []lockstepv1alpha1.Check{{Name: "never", Expression: `values["proc-title-template"] == "x"`}}
	w.create(password, validated, checked)

	for _, name := range []string{"form", "free", "validated", "checked", "password"} {
		w.config(name, "to be told of", func(l *lockstepv1alpha1.LiveConfig) bool {
			return l.Status.ObservedGeneration == l.Generation && len(l.Status.Conditions) > 0
		})
	}

	r.stop()

	for what, text := range w.everythingTold(r) {
		if strings.Contains(text, "canary") {
			t.Errorf("a value is told in %s:\n%s", what, text)
		}
	}
}
