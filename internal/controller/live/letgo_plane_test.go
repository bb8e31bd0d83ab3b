package live_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

func TestASettingThatIsNoLongerAskedForIsGivenBackAsThePolicySays(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		policy lockstepv1alpha1.OnRemove
		want   string
	}{
		"restore puts back what was there before": {lockstepv1alpha1.RemoveRestore, "9"},
		// Redis has no way to unset.
		"unset of a store that cannot puts it back too": {lockstepv1alpha1.RemoveUnset, "9"},
		"keep leaves it": {lockstepv1alpha1.RemoveKeep, "7"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			server := w.cache("cache")
			server.set("maxmemory-samples", "9")
			w.start()

			l := liveConfig("cache", "cache", set("maxmemory", "64mb"), set("maxmemory-samples", "8"))
			l.Spec.Policy.OnRemove = tc.policy
			w.create(l)
			w.ready("cache")

			// What was there before is what was there before everything, not before the last change.
			w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[1] = set("maxmemory-samples", "7") })
			w.config("cache", "to have the second revision", at(2))

			w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings = s.Settings[:1] })
			w.config("cache", "to have the third revision", at(3))
			server.expect("maxmemory-samples", tc.want)
			server.expect("maxmemory", megabytes(64))
		})
	}
}

func TestADeletedLiveConfigGivesBackWhatWasThereBefore(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	server.set("maxmemory-samples", "9")
	w.start()

	l := liveConfig("cache", "cache", set("maxmemory", "64mb"), set("maxmemory-samples", "8"))
	w.create(l)
	w.ready("cache")
	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)

	server.expect("maxmemory", "0")
	server.expect("maxmemory-samples", "9")
}

func TestADeletedLiveConfigWaitsForItsStore(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()

	l := liveConfig("cache", "cache", set("maxmemory", "64mb"))
	w.create(l)
	w.ready("cache")
	w.must(server.Pause())
	w.must(w.client.Delete(t.Context(), l))

	kept := w.config("cache", "to say why it is still there", func(l *lockstepv1alpha1.LiveConfig) bool {
		return strings.HasPrefix(says(l, "Applied"), "Applied=False/GivingBack")
	})
	if message := says(kept, "Ready"); !strings.Contains(message, "set policy.onRemove to keep") {
		t.Errorf("Ready says %q", message)
	}

	w.must(server.Resume())
	expect.Gone(t, w.client, l)
	server.expect("maxmemory", "0")
}

func TestALiveConfigIsLetGoWhenItsStoreIsGoneOrAfterAllToKeep(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()

	l := liveConfig("cache", "cache", set("maxmemory", "64mb"))
	w.create(l)
	w.ready("cache")

	// Its LiveStore goes first, as with a namespace: the connection is still there to give everything back.
	w.must(w.client.Delete(t.Context(), liveStoreKey(w, "cache")))
	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	server.expect("maxmemory", "0")

	// A store that cannot be reached holds nobody who changes his mind.
	down := w.cache("down")
	other := liveConfig("down", "down", set("maxmemory", "64mb"))
	w.create(other)
	w.ready("down")
	w.must(down.Pause())
	w.must(w.client.Delete(t.Context(), other))
	w.config("down", "to wait", func(l *lockstepv1alpha1.LiveConfig) bool {
		return strings.HasPrefix(says(l, "Applied"), "Applied=False/GivingBack")
	})
	w.edit("down", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Policy.OnRemove = lockstepv1alpha1.RemoveKeep })
	expect.Gone(t, w.client, other)
}

func liveStoreKey(w *world, name string) *lockstepv1alpha1.LiveStore {
	return &lockstepv1alpha1.LiveStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
}

func TestOfTwoLiveConfigsTheOlderHasTheSetting(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()

	older := liveConfig("a-older", "cache", set("maxmemory", "64mb"))
	w.create(older)
	w.ready("a-older")

	younger := liveConfig("b-younger", "cache", set("maxmemory", "65mb"))
	w.create(younger)
	refused := w.config("b-younger", "to be refused", told("Stalled", "True/Refused"))
	server.expect("maxmemory", megabytes(64))

	if message := says(refused, "Ready"); !strings.Contains(message, "LiveConfig a-older, which is older") {
		t.Errorf("Ready says %q", message)
	}

	// When the older one goes, what was there before is back, and then it is the younger one's turn.
	w.must(w.client.Delete(t.Context(), older))
	w.ready("b-younger")
	server.expect("maxmemory", megabytes(65))

	w.must(w.client.Delete(t.Context(), younger))
	expect.Gone(t, w.client, younger)
	server.expect("maxmemory", "0")
}

func TestWhatSomebodyElseChangedIsCorrectedOrReported(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		policy lockstepv1alpha1.OnDrift
		want   string
		state  lockstepv1alpha1.SettingState
	}{
		"correct sets it again":      {lockstepv1alpha1.DriftCorrect, megabytes(64), lockstepv1alpha1.SettingApplied},
		"report leaves it and tells": {lockstepv1alpha1.DriftReport, megabytes(99), lockstepv1alpha1.SettingDrifted},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			server := w.cache("cache", func(l *lockstepv1alpha1.LiveStore) { l.Spec.ProbeInterval = seconds(1) })
			w.start()

			l := liveConfig("cache", "cache", set("maxmemory", "64mb"))
			l.Spec.Policy.OnDrift = tc.policy
			w.create(l)
			w.ready("cache")

			server.set("maxmemory", "99mb")

			told := w.config("cache", "to have noticed", func(l *lockstepv1alpha1.LiveConfig) bool {
				return l.Status.Settings[0].State == lockstepv1alpha1.SettingDrifted ||
					len(l.Status.History) > 1 && l.Status.History[0].Trigger == "drifted"
			})
			server.expect("maxmemory", tc.want)

			if diff := cmp.Diff(tc.state, told.Status.Settings[0].State); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARestartWritesNothingAnywhere(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.secret("sizes", map[string]string{"memory": "64mb"})

	first := w.start()

	w.create(liveConfig("cache", "cache", from("maxmemory", "sizes", "memory")))
	before := w.ready("cache")
	first.stop()

	h := &hooks{}
	second := w.start(h.use)

	// A change of another one shows that the first look is over.
	w.create(liveConfig("marker", "cache", set("maxmemory-samples", "3")))
	w.ready("marker")

	var writes []string

	for _, q := range second.requests.Seen() {
		if !strings.HasPrefix(q, "GET ") && !strings.Contains(q, "/marker") && !strings.Contains(q, "/events") {
			writes = append(writes, q)
		}
	}

	// The marker's record has no name in its request.
	if diff := cmp.Diff([]string{"POST /api/v1/namespaces/" + w.namespace + "/secrets"}, writes); diff != "" {
		t.Errorf("writes at the restart (-want +got):\n%s", diff)
	}

	if applied, _ := h.counts(); applied != 1 {
		t.Errorf("%d writes to the store, want the one of the marker", applied)
	}

	after := w.ready("cache")
	if diff := cmp.Diff(before.ResourceVersion, after.ResourceVersion); diff != "" {
		t.Errorf("version of the LiveConfig (-want +got):\n%s", diff)
	}

	// And what was changed while nobody looked is carried.
	second.stop()
	w.secret("sizes", map[string]string{"memory": "66mb"})
	w.start()
	w.config("cache", "to have the second revision", at(2))
	server.expect("maxmemory", megabytes(66))
}

// The records of one that is deleted go with it, but not at once.
func TestALiveConfigKnowsNothingOfTheOneThatHadItsNameBefore(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	server.set("maxmemory-samples", "9")
	w.start()

	l := liveConfig("cache", "cache", set("maxmemory-samples", "8"), set("maxmemory-policy", "allkeys-lru"))
	l.Spec.Policy.OnRemove = lockstepv1alpha1.RemoveKeep
	w.create(l)
	w.ready("cache")
	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	server.expect("maxmemory-samples", "8")

	l = liveConfig("cache", "cache", set("maxmemory-samples", "7"))
	w.create(l)
	w.ready("cache")
	server.expect("maxmemory-samples", "7")
	server.expect("maxmemory-policy", "allkeys-lru")

	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	server.expect("maxmemory-samples", "8")
	server.expect("maxmemory-policy", "allkeys-lru")
}
