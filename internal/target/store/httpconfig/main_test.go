package httpconfig

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/utils/clock"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
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

// jumping is a clock on which no time passes but what is waited for, and that at once.
type jumping struct {
	clock.RealClock

	mu    sync.Mutex
	now   time.Time
	waits []time.Duration
}

func (j *jumping) Now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()

	return j.now
}

func (j *jumping) After(d time.Duration) <-chan time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.now = j.now.Add(d)
	j.waits = append(j.waits, d)
	c := make(chan time.Time, 1)
	c <- j.now

	return c
}

func targetOf(url string, h lockstepv1alpha1.HTTPStore, with ...func(*store.Target)) store.Target {
	target := store.Target{Endpoints: []string{url}, Connect: 10 * time.Second, Command: 10 * time.Second, HTTP: &h}
	for _, set := range with {
		set(&target)
	}

	return target
}

func openTarget(t testing.TB, target store.Target, clk clock.Clock) *session {
	t.Helper()
	s, err := Driver(clk).Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)

	return s.(*session)
}

func openAt(t testing.TB, url string, h lockstepv1alpha1.HTTPStore, with ...func(*store.Target)) *session {
	t.Helper()

	return openTarget(t, targetOf(url, h, with...), clock.RealClock{})
}

func named(name string) live.Setting { return live.Setting{Name: name} }

func to(name, text string) []live.Change {
	return []live.Change{{Setting: named(name), To: live.Text(text)}}
}

func read(t testing.TB, s *session, setting live.Setting) live.State {
	t.Helper()
	states, err := s.Read(t.Context(), []live.Setting{setting})
	if err != nil {
		t.Fatal(err)
	}

	return states[0]
}

func apply(t testing.TB, s *session, changes []live.Change) {
	t.Helper()
	if err := s.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}
