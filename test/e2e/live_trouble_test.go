package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/faults"
)

// dice are random numbers that can be had again: their seed is printed.
func (w *liveWorld) dice() *rand.Rand {
	w.Helper()

	seed := rand.Uint64()
	w.Logf("seed %d", seed)

	return rand.New(rand.NewPCG(seed, 0))
}

// until waits for as long as it takes, or for the end of something.
func until(d time.Duration, end <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()

	select {
	case <-timer.C:
	case <-end:
	}
}

// ends checks that the stores come to have the n-th rotation and stay so, and that they get back what they had.
func (t *trio) ends(n int, before whole) {
	t.Helper()

	t.rotate(n)
	t.carried("limits", now(t.world, &corev1.Secret{ObjectMeta: t.meta("limits")}))
	t.has(n)

	if l := now(t.world, t.liveConfig("limits")); len(l.Status.History) == 0 || l.Status.History[0].Outcome != lockstepv1alpha1.ChangeApplied {
		t.Errorf("the history is %+v", l.Status.History)
	}

	t.lets("limits")
	t.same("everything that the stores have, before and after", before, t.whole())
}

// killed shows that a manager may be killed at any moment, whatever it is about.
func (w *liveWorld) killed() {
	const rounds = 14

	s, dice := w.trio(nil), w.dice()
	before, n := s.whole(), 0
	s.rotate(n)
	w.create(s.limits())

	for round := range rounds {
		// This one comes and goes: in one round it is adopted, in the next it is let go of.
		if round%2 == 0 {
			w.create(w.visitor(round))
		} else {
			w.must(w.client.Delete(w.Context(), w.visitor(round-1)))
		}

		killed := w.doomed(dice, round%2 == 1)

		for ended := false; !ended; {
			n++
			s.rotate(n)
			until(time.Duration(dice.Int64N(int64(60*time.Millisecond))), killed)

			select {
			case <-killed:
				ended = true
			default:
			}
		}
	}

	w.Logf("%d rotations", n)

	w.manage()

	for round := range rounds {
		if round%2 == 0 {
			expect.Gone(w.TB, w.client, w.visitor(round))
		}
	}

	s.ends(n+1, before)
}

// doomed starts a manager that is killed at some time, or else at some write to the API server. The channel is closed when it
// is.
func (w *liveWorld) doomed(dice *rand.Rand, amidWrite bool) <-chan struct{} {
	w.Helper()

	const longest = 900 * time.Millisecond

	moment, write := time.Duration(dice.Int64N(int64(longest))), dice.Int32N(12)
	if amidWrite {
		moment = 3 * longest // unless there are fewer
	}

	var (
		p      = w.manage()
		killed = make(chan struct{})
		writes atomic.Int32
	)

	kill := sync.OnceFunc(func() {
		_ = p.cmd.Process.Kill()
		close(killed)
	})
	remove := w.proxy.Add(faults.Rule{Match: func(q faults.Request) bool {
		if amidWrite && q.Writes() && writes.Add(1) == write {
			kill()
		}

		return false
	}})

	go func() {
		until(moment, killed)
		kill()
		<-p.done
		remove()
	}()

	return killed
}

// visitor is a LiveConfig that adopts a setting of its own in two stores. In each round it has another name.
func (w *liveWorld) visitor(round int) *lockstepv1alpha1.LiveConfig {
	l := w.liveConfig(fmt.Sprint("visitor-", round))
	policy, timeout := "allkeys-lru", "77"
	cache := &lockstepv1alpha1.StoreReference{Name: "cache"}
	l.Spec.Settings = []lockstepv1alpha1.LiveSetting{
		{StoreRef: cache, Name: "maxmemory-policy", Value: &policy}, {StoreRef: cache, Name: "timeout", Value: &timeout},
	}

	return l
}

// succeeded shows that another replica carries what is changed when the leader is killed.
func (w *liveWorld) succeeded() {
	s := w.trio(nil)
	before := s.whole()
	s.rotate(1)
	w.create(s.limits())

	leader := w.candidate("first")
	w.config("limits", "to be in force", at(1))

	second := w.candidate("second")
	second.logged("acquire leader lease")
	w.leads(w.lease(), w.identity("first"))
	leader.kill()
	s.rotate(2)
	w.config("limits", "to have the second revision", at(2))
	s.has(2)
	w.leads(w.lease(), w.identity("second"))
	s.ends(3, before)
}

func (w *liveWorld) lease() string { return "live-" + w.namespace }

func (w *liveWorld) identity(name string) string { return name + "-" + w.namespace }

// candidate is a manager that needs a Lease of this test's own.
func (w *liveWorld) candidate(name string) *process {
	w.Helper()

	p := w.world.manage(strings.NewReplacer("HOME", w.home, "LEASE", w.lease(), "IDENTITY", w.identity(name)).Replace(`
dialects: [live]
namespace: HOME
metrics: {bindAddress: "0"}
log: {level: debug}
leaderElection:
  enabled: true
  leaseName: LEASE
  identity: IDENTITY
  leaseDuration: 3s
  renewDeadline: 2s
  retryPeriod: 200ms
`))
	w.runs = append(w.runs, p)

	return p
}

// troubled shows that nothing is lost while the API server is in trouble.
func (w *liveWorld) troubled() {
	const long = 6 * time.Second

	s, dice := w.trio(nil), w.dice()
	before := s.whole()
	s.rotate(0)
	w.create(s.limits())
	w.manage()
	w.config("limits", "to be in force", at(1))

	trouble, over := context.WithTimeout(w.Context(), long)
	defer over()

	w.trouble(trouble.Done())

	n := 0
	for ; trouble.Err() == nil; n++ {
		s.rotate(n)

		if dice.IntN(4) == 0 {
			w.proxy.Cut()
		}

		until(time.Duration(dice.Int64N(int64(150*time.Millisecond))), trouble.Done())
	}

	w.Logf("%d rotations", n)
	s.ends(n, before)
}

// trouble has every second request fail in one of five ways.
func (w *liveWorld) trouble(end <-chan struct{}) {
	for _, rule := range []faults.Rule{
		{Status: http.StatusInternalServerError},
		{Status: http.StatusTooManyRequests},
		{Drop: true},
		{DropAnswer: true},
		{Status: http.StatusConflict},
	} {
		// Who is first in the list is asked first: what is left over is for the next.
		rule.Until = end
		rule.Match = func(q faults.Request) bool { return q.Resource != "" && rand.IntN(8) == 0 }
		w.proxy.Add(rule)
	}
}
