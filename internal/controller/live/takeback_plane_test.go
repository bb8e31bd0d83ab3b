package live_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/journal"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

var (
	errSilent = errors.New("did not answer in time")
	errAway   = errors.New("the API server is away for a moment")
)

// memoryOfBoth asks for the same memory in the stores one and other, from the Secret sizes.
func memoryOfBoth() *lockstepv1alpha1.LiveConfig {
	l := liveConfig("both", "one", from("maxmemory", "sizes", "memory"), from("maxmemory", "sizes", "memory"))
	l.Spec.Settings[1].StoreRef = &lockstepv1alpha1.StoreReference{Name: "other"}

	return l
}

// takenBack says whether the newest change was taken back, after another one that was not.
func takenBack(l *lockstepv1alpha1.LiveConfig) bool {
	h := l.Status.History

	return len(h) > 1 && h[0].Outcome == lockstepv1alpha1.ChangeRolledBack
}

// script answers the writes to the stores one after the other, and refuses 65mb when it has come to its end. An answer that is
// nil lets the store have the write.
type script struct {
	mu      sync.Mutex
	answers []error
	// at is called before each answer, without the lock, with its number.
	at func(n int)
	n  int
}

func (s *script) apply(_ context.Context, changes []live.Change, do func() error) error {
	s.mu.Lock()
	n := s.n
	s.n++
	s.mu.Unlock()

	if s.at != nil {
		s.at(n)
	}

	switch {
	case n < len(s.answers) && s.answers[n] != nil:
		return s.answers[n]
	case n >= len(s.answers) && changes[0].To.Text == "65mb":
		return &store.RefusedError{Setting: changes[0].Setting, Reason: "is not to the taste of this server"}
	}

	return do()
}

func (h *hooks) play(s *script) {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.apply = s.apply
}

// A manager dies when one of two stores has the change, and to the next one the other refuses it.
func TestAChangeThatWasCutOffIsTakenBackAsAWhole(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	one, other := w.cache("one"), w.cache("other")
	w.secret("sizes", map[string]string{"memory": "64mb"})

	m := &mortal{left: 1 << 20, died: make(chan struct{})}
	first := w.start(m.use)
	w.create(memoryOfBoth())
	w.ready("both")

	m.mu.Lock()
	m.left = 1
	m.mu.Unlock()

	w.secret("sizes", map[string]string{"memory": "65mb"})
	<-m.died
	first.stop()
	one.expect("maxmemory", megabytes(65))
	other.expect("maxmemory", megabytes(64))

	h := &hooks{}
	h.play(&script{})
	w.start(h.use)
	w.config("both", "to be back", takenBack)
	one.expect("maxmemory", megabytes(64))
	other.expect("maxmemory", megabytes(64))
}

// One of two stores has the change, the other does not answer, and when the first is to have back what it had it does not
// answer either. And of all that the status cannot be written.
func TestAChangeIsTakenBackThoughItsStatusCouldNotBeWritten(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	one, other := w.cache("one"), w.cache("other")
	w.secret("sizes", map[string]string{"memory": "64mb"})

	h := &hooks{}
	away := make(chan struct{}, 1)

	w.start(h.use, func(p *parts) {
		p.wrap = func(next http.RoundTripper) http.RoundTripper {
			return journal.RoundTripper(func(q *http.Request) (*http.Response, error) {
				if q.Method != http.MethodPatch || !strings.HasSuffix(q.URL.Path, "/liveconfigs/both/status") {
					return next.RoundTrip(q)
				}

				select {
				case <-away:
					return nil, errAway
				default:
					return next.RoundTrip(q)
				}
			})
		}
	})
	w.create(memoryOfBoth())
	w.ready("both")

	h.play(&script{answers: []error{nil, errSilent, errSilent}, at: func(n int) {
		if n == 1 {
			away <- struct{}{}
		}
	}})
	w.secret("sizes", map[string]string{"memory": "65mb"})
	w.config("both", "to be back", takenBack)
	one.expect("maxmemory", megabytes(64))
	other.expect("maxmemory", megabytes(64))
}

// The store refuses the whole, takes the first step alone, and does not answer to the second.
func TestWithBestEffortWhatWasMadeBeforeAStoreFellSilentIsGivenBackAtTheEnd(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	server.set("maxmemory-samples", "9")

	h := &hooks{}
	h.play(&script{answers: []error{&store.RefusedError{Reason: "something of it is wrong"}, nil, errSilent}})
	w.start(h.use)

	l := liveConfig("cache", "cache", set("maxmemory-samples", "3"), set("maxmemory", "64mb"))
	l.Spec.Policy.Atomicity = lockstepv1alpha1.AtomicBestEffort
	w.create(l)
	w.ready("cache")

	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	server.expect("maxmemory", "0")
	server.expect("maxmemory-samples", "9")
}

// watched is a session that tells of writes behind our back.
type watched struct {
	*hooked

	store.Watcher
}

// watching has the sessions of stores with a watch of their own keep it.
func (h *hooks) watching(p *parts) {
	h.use(p)

	for i, d := range p.drivers {
		p.drivers[i].Open = func(ctx context.Context, target store.Target) (store.Session, error) {
			s, err := d.Open(ctx, target)
			if err != nil {
				return nil, err
			}

			if inner, is := s.(*hooked); is {
				if watcher, can := inner.Session.(store.Watcher); can {
					return watched{inner, watcher}, nil
				}
			}

			return s, nil
		}
	}
}

// The first try is one that the store takes without an answer, so that it is made again. Then a check does not hold.
func TestAChangeThatHasFailedForGoodAfterASilenceIsNotMadeAgain(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	etcd := stores.OwnEtcd(t, localstore.EtcdOptions{})
	keys, err := etcd.Client(t.Context())
	w.must(err)
	t.Cleanup(func() { _ = keys.Close() })
	w.create(liveStore("etcd", lockstepv1alpha1.StoreEtcd, etcd.URL()))

	h := &hooks{}
	w.start(h.watching)
	w.secret("values", map[string]string{"v": "1"})

	l := liveConfig("etcd", "etcd", from("/k", "values", "v"))
	l.Spec.Checks = []lockstepv1alpha1.Check{{Name: "small", Expression: `int(values["/k"]) < 100`}}
	w.create(l)
	w.ready("etcd")

	var once sync.Once

	h.mu.Lock()
	h.apply = func(_ context.Context, _ []live.Change, do func() error) error {
		err := do()

		once.Do(func() { err = errSilent })

		return err
	}
	h.mu.Unlock()

	w.secret("values", map[string]string{"v": "200"})
	w.config("etcd", "to have failed for good", told("Stalled", "True/RolledBack"))

	// Neither when it is looked at because somebody has written the key.
	before, _ := h.counts()

	const others = 5
	for i := range others {
		_, err := keys.Put(t.Context(), "/k", "1")
		w.must(err)

		name := "marker-" + strconv.Itoa(i)
		w.create(liveConfig(name, "etcd", set("/"+name, "1")))
		w.ready(name)
	}

	if after, _ := h.counts(); after != before+others {
		t.Errorf("%d writes to the store, want the %d of the others", after-before, others)
	}

	w.config("etcd", "to stay so", told("Stalled", "True/RolledBack"))
}

func TestACheckHoldsAlsoForWhatAStoreHasAlready(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.cache("cache")
	w.start()

	l := liveConfig("cache", "cache", set("maxmemory-samples", "5"))
	l.Spec.Checks = []lockstepv1alpha1.Check{{Name: "never", Expression: `int(values["maxmemory-samples"]) > 10`}}
	w.create(l)

	seen := w.config("cache", "to be told of", func(l *lockstepv1alpha1.LiveConfig) bool {
		return l.Status.ObservedGeneration == l.Generation && says(l, "Ready") != ""
	})
	if message := says(seen, "Ready"); !strings.HasPrefix(message, "Ready=False") || !strings.Contains(message, "check never does not hold") {
		t.Errorf("Ready says %q", message)
	}
}

// Of two stores neither hides what the other has.
func TestACheckHasToHoldInEveryStore(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.cache("one")
	w.cache("other")
	w.start()

	for name, sizes := range map[string][2]string{"first": {"64mb", "65mb"}, "second": {"65mb", "64mb"}} {
		l := liveConfig(name, "one", set("maxmemory", sizes[0]), set("maxmemory", sizes[1]))
		l.Spec.Settings[1].StoreRef = &lockstepv1alpha1.StoreReference{Name: "other"}
		l.Spec.Checks = []lockstepv1alpha1.Check{{Name: "same", Expression: `values["maxmemory"] == "67108864"`}}
		w.create(l)
		w.config(name, "to be back", told("Stalled", "True/RolledBack"))
		w.must(w.client.Delete(t.Context(), l))
		expect.Gone(t, w.client, l)
	}
}
