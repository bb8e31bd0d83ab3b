package live_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/journal"
)

// A setting is taken out of the older LiveConfig, as the message to the younger one says.
func TestAYoungerLiveConfigInheritsWhatWasThereBeforeTheOlder(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	server.set("maxmemory", "32mb")
	w.start()

	w.create(liveConfig("a-older", "cache", set("maxmemory", "64mb"), set("maxmemory-samples", "3")))
	w.ready("a-older")

	younger := liveConfig("b-younger", "cache", set("maxmemory", "65mb"))
	w.create(younger)
	w.config("b-younger", "to be refused", told("Stalled", "True/Refused"))

	w.edit("a-older", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings = s.Settings[1:] })
	w.ready("b-younger")
	server.expect("maxmemory", megabytes(65))
	w.ready("a-older")

	w.must(w.client.Delete(t.Context(), younger))
	expect.Gone(t, w.client, younger)
	server.expect("maxmemory", megabytes(32))
}

// Whoever is older takes a setting over as soon as he asks for it. Of two that were created in the same second the name decides.
func TestAnOlderLiveConfigInheritsWhatWasThereBeforeTheYounger(t *testing.T) {
	t.Parallel()

	cases := map[string]struct{ megabytes int }{
		"with another value":   {64},
		"with the value of it": {65},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			server := w.cache("cache")
			server.set("maxmemory", "32mb")
			w.start()

			older := liveConfig("a-older", "cache", set("maxmemory-samples", "3"))
			w.create(older)
			w.ready("a-older")

			younger := liveConfig("b-younger", "cache", set("maxmemory", "65mb"))
			w.create(younger)
			w.ready("b-younger")

			w.edit("a-older", func(s *lockstepv1alpha1.LiveConfigSpec) {
				s.Settings = append(s.Settings, set("maxmemory", megabytes(tc.megabytes)))
			})
			w.config("a-older", "to have it", at(2))
			w.config("b-younger", "to be refused", told("Stalled", "True/Refused"))

			// The one that does not have it any more gives nothing back.
			w.must(w.client.Delete(t.Context(), younger))
			expect.Gone(t, w.client, younger)
			server.expect("maxmemory", megabytes(tc.megabytes))

			w.must(w.client.Delete(t.Context(), older))
			expect.Gone(t, w.client, older)
			server.expect("maxmemory", megabytes(32))
		})
	}
}

// The manager ends after the younger one has heard that it has lost the setting, and before the older one has it on record.
func TestAnOlderLiveConfigInheritsAlsoFromWhatAFormerManagerKnew(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	server.set("maxmemory", "32mb")

	var broken atomic.Bool

	former := w.start(func(p *parts) {
		p.wrap = func(next http.RoundTripper) http.RoundTripper {
			return journal.RoundTripper(func(q *http.Request) (*http.Response, error) {
				// Of all records only that of what the older one adopts is written while it is broken.
				if broken.Load() && q.Method == http.MethodPost && strings.HasSuffix(q.URL.Path, "/secrets") {
					return nil, errBroken
				}

				return next.RoundTrip(q)
			})
		}
	})

	older := liveConfig("a-older", "cache", set("maxmemory-samples", "3"))
	w.create(older)
	w.ready("a-older")

	younger := liveConfig("b-younger", "cache", set("maxmemory", "65mb"))
	w.create(younger)
	w.ready("b-younger")

	broken.Store(true)
	w.edit("a-older", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings = append(s.Settings, set("maxmemory", "64mb")) })
	w.config("b-younger", "to be refused", told("Stalled", "True/Refused"))
	former.stop()
	server.expect("maxmemory", megabytes(65))

	w.start()
	w.config("a-older", "to have it", func(l *lockstepv1alpha1.LiveConfig) bool { return isReady(l) && len(l.Status.Settings) == 2 })
	server.expect("maxmemory", megabytes(64))

	w.must(w.client.Delete(t.Context(), younger))
	expect.Gone(t, w.client, younger)
	server.expect("maxmemory", megabytes(64))

	w.must(w.client.Delete(t.Context(), older))
	expect.Gone(t, w.client, older)
	server.expect("maxmemory", megabytes(32))
}

// What the younger one had before says nothing about what the older one has left.
func TestAYoungerLiveConfigTakesASettingBackThatWasTakenFromIt(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	server.set("maxmemory", "32mb")
	w.start()

	w.create(liveConfig("a-older", "cache", set("maxmemory-samples", "3")))
	w.ready("a-older")

	younger := liveConfig("b-younger", "cache", set("maxmemory", "65mb"))
	younger.Spec.Policy.OnDrift = lockstepv1alpha1.DriftReport
	w.create(younger)
	w.ready("b-younger")

	w.edit("a-older", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings = append(s.Settings, set("maxmemory", "64mb")) })
	w.config("a-older", "to have it", func(l *lockstepv1alpha1.LiveConfig) bool { return isReady(l) && len(l.Status.Settings) == 2 })
	w.config("b-younger", "to have let it go", func(l *lockstepv1alpha1.LiveConfig) bool {
		return strings.HasPrefix(says(l, "Stalled"), "Stalled=True/Refused") && l.Status.Settings[0].Applied == ""
	})

	w.edit("a-older", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings = s.Settings[:1] })
	w.ready("b-younger")
	server.expect("maxmemory", megabytes(65))

	w.must(w.client.Delete(t.Context(), younger))
	expect.Gone(t, w.client, younger)
	server.expect("maxmemory", megabytes(32))
}

func TestWithBestEffortToTheYoungerGoesWhatTheOlderLetsGo(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()

	older := liveConfig("a-older", "cache", set("maxmemory", "64mb"))
	w.create(older)
	w.ready("a-older")

	younger := liveConfig("b-younger", "cache", set("maxmemory", "65mb"))
	younger.Spec.Policy.Atomicity = lockstepv1alpha1.AtomicBestEffort
	w.create(younger)
	w.config("b-younger", "to be refused", told("Stalled", "True/Refused"))

	w.must(w.client.Delete(t.Context(), older))
	expect.Gone(t, w.client, older)
	w.ready("b-younger")
	server.expect("maxmemory", megabytes(65))
}

func TestASecretOfAUserThatHasTheNameOfARecordIsLeftAlone(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()

	mine := w.secret("cache-live-1", map[string]string{"precious": "yes"})
	l := liveConfig("cache", "cache", set("maxmemory", "64mb"))
	w.create(l)

	if ready := w.ready("cache"); ready.Status.Record == mine.Name {
		t.Errorf("the record is %s, which was there before", ready.Status.Record)
	}

	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	server.expect("maxmemory", "0")

	var kept corev1.Secret
	w.must(w.client.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: mine.Name}, &kept))

	if string(kept.Data["precious"]) != "yes" || len(kept.OwnerReferences) != 0 {
		t.Errorf("the user's Secret has %d keys and the owners %v", len(kept.Data), kept.OwnerReferences)
	}
}

var errBroken = errors.New("it is broken off")

// lateWatch keeps back what the watch of LiveConfigs brings.
type lateWatch struct {
	ended <-chan struct{}

	mu   sync.Mutex
	shut chan struct{}
}

// close keeps everything back until open is called.
func (l *lateWatch) close() {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.shut = make(chan struct{})
}

func (l *lateWatch) open() {
	l.mu.Lock()
	defer l.mu.Unlock()

	close(l.shut)
	l.shut = nil
}

func (l *lateWatch) wait() {
	l.mu.Lock()
	shut := l.shut
	l.mu.Unlock()

	if shut == nil {
		return
	}

	select {
	case <-shut:
	case <-l.ended:
	}
}

// through is for the requests of a controller.
func (l *lateWatch) through(next http.RoundTripper) http.RoundTripper {
	return journal.RoundTripper(func(q *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(q)
		if err == nil && strings.Contains(q.URL.RawQuery, "watch=true") && strings.HasSuffix(q.URL.Path, "/liveconfigs") {
			answer.Body = lateBody{answer.Body, l}
		}

		return answer, err
	})
}

type lateBody struct {
	io.ReadCloser

	late *lateWatch
}

func (b lateBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.late.wait()

	return n, err
}

// The spec is edited when the controller is about to write the status, and the watch tells of the edit only after the write.
func TestAnEditThatComesDuringAStatusWriteIsNotLost(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	late, meeting := &lateWatch{ended: t.Context().Done()}, newMeeting(t)

	w.start(func(p *parts) {
		p.wrap = func(next http.RoundTripper) http.RoundTripper {
			next = late.through(next)

			return journal.RoundTripper(func(q *http.Request) (*http.Response, error) {
				if q.Method == http.MethodPatch && strings.HasSuffix(q.URL.Path, "/liveconfigs/cache/status") {
					meeting.attend()
				}

				return next.RoundTrip(q)
			})
		}
	})

	w.create(liveConfig("cache", "cache", set("maxmemory", "64mb")))
	w.ready("cache")
	meeting.call()
	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = set("maxmemory", "65mb") })
	<-meeting.met
	late.close()
	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = set("maxmemory", "66mb") })
	close(meeting.over)

	w.config("cache", "to have the second revision", func(l *lockstepv1alpha1.LiveConfig) bool { return l.Status.Revision == 2 })
	late.open()
	w.config("cache", "to have the third revision", at(3))
	server.expect("maxmemory", megabytes(66))
}

// Its connections are replaced then. The change may be taken back and made again.
func TestAChangeDuringWhichItsLiveStoreIsEditedIsNotLost(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	meeting := newMeeting(t)
	h := &hooks{apply: func(_ context.Context, _ []live.Change, do func() error) error {
		defer meeting.attend()

		return do()
	}}
	w.start(h.use)
	w.create(liveConfig("cache", "cache", set("maxmemory", "64mb")))
	w.ready("cache")

	meeting.call()
	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = set("maxmemory", "65mb") })
	<-meeting.met

	l := liveStoreKey(w, "cache")
	w.must(w.client.Patch(t.Context(), l, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"probeInterval":"30s"}}`))))
	expect.Object(t, w.client, l, "to be told of again", func(l *lockstepv1alpha1.LiveStore) bool {
		return l.Status.ObservedGeneration == l.Generation
	})
	close(meeting.over)

	w.config("cache", "to have what is asked for now", func(l *lockstepv1alpha1.LiveConfig) bool {
		return isReady(l) && l.Status.Revision > 1
	})
	server.expect("maxmemory", megabytes(65))
}

// meeting is a point at which a controller waits for the test, once it was called.
type meeting struct {
	called, met, over chan struct{}
	ended             <-chan struct{}

	once sync.Once
}

func newMeeting(t *testing.T) *meeting {
	t.Helper()

	return &meeting{called: make(chan struct{}), met: make(chan struct{}), over: make(chan struct{}), ended: t.Context().Done()}
}

func (m *meeting) call() { close(m.called) }

// attend waits until it is over, if it was called and nobody has attended before.
func (m *meeting) attend() {
	select {
	case <-m.called:
		m.once.Do(func() {
			close(m.met)

			select {
			case <-m.over:
			case <-m.ended:
			}
		})
	default:
	}
}
