package live_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
)

func TestASecretsNewValueReachesTheStoreAndIsRecorded(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()
	w.secret("sizes", map[string]string{"memory": "64mb"})
	w.create(liveConfig("cache", "cache", from("maxmemory", "sizes", "memory"), set("maxmemory-policy", "allkeys-lru")))

	first := w.ready("cache")
	server.expect("maxmemory", megabytes(64))
	server.expect("maxmemory-policy", "allkeys-lru")

	w.secret("sizes", map[string]string{"memory": "65mb"})
	second := w.config("cache", "to have the second revision", at(2))
	server.expect("maxmemory", megabytes(65))

	if got, want := second.Status.History[0].Changed, []string{"maxmemory"}; !cmp.Equal(got, want) {
		t.Errorf("changed by the second revision: %v, want %v", got, want)
	}

	if got := second.Status.History[0].Trigger; got != "secret/sizes" {
		t.Errorf("the trigger is %q", got)
	}

	a, b := first.Status.Settings[0], second.Status.Settings[0]
	if a.Digest == b.Digest || a.Digest != a.Applied || b.Digest != b.Applied || len(b.Digest) != 32 {
		t.Errorf("digests of the two values: %+v, %+v", a, b)
	}

	// The record holds what is in force and what was there before everything, and cannot be changed.
	var record corev1.Secret
	w.must(w.client.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: second.Status.Record}, &record))

	if record.Immutable == nil || !*record.Immutable || len(record.OwnerReferences) != 1 || record.OwnerReferences[0].Name != "cache" {
		t.Errorf("the record is %+v", record.ObjectMeta)
	}

	decoded, err := live.DecodeRecord(record.Data["revision"])
	w.must(err)

	entry, _ := decoded.Find(live.Place{Store: "cache", Setting: live.Setting{Name: "maxmemory"}})
	if entry.Text != "65mb" || entry.Before != live.Text("0") {
		t.Errorf("recorded of maxmemory: %+v", entry)
	}

	// The one before is let go once the new one is told of.
	expect.Gone(t, w.client, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: first.Status.Record}})
}

func TestAnEditThatChangesNoValueDoesNothing(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.cache("cache")

	h := &hooks{}
	r := w.start(h.use)
	s := w.secret("sizes", map[string]string{"memory": "64mb", "other": "1"})
	w.create(liveConfig("cache", "cache", from("maxmemory", "sizes", "memory")))
	w.ready("cache")

	before := len(r.requests.Seen())
	applied, read := h.counts()

	// A label, then a key that nobody reads, then one that somebody reads: when that has arrived, the others have.
	w.must(w.client.Patch(t.Context(), s, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`))))
	w.must(w.client.Patch(t.Context(), s, client.RawPatch(types.MergePatchType, []byte(`{"stringData":{"other":"2"}}`))))

	w.secret("marker", map[string]string{"memory": "3"})
	w.create(liveConfig("marker", "cache", from("maxmemory-samples", "marker", "memory")))
	w.ready("marker")

	for _, q := range r.requests.Seen()[before:] {
		if strings.Contains(q, "secrets/sizes") || strings.Contains(q, "liveconfigs/cache/") {
			t.Errorf("a request for an edit that changes nothing: %s", q)
		}
	}

	// Of the other one: a read before, one after, and one write.
	if a, n := h.counts(); a != applied+1 || n > read+2 {
		t.Errorf("%d writes and %d reads of the store", a-applied, n-read)
	}
}

func TestOneBadSettingStopsTheWholeChangeInAllStores(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	one, other := w.cache("one"), w.cache("other")

	h := &hooks{}
	w.start(h.use)
	w.secret("sizes", map[string]string{"memory": "64mb", "samples": "7"})

	l := liveConfig("both", "one", from("maxmemory", "sizes", "memory"))
	l.Spec.Settings = append(l.Spec.Settings, lockstepv1alpha1.LiveSetting{
		Name: "maxmemory-samples", ValueFrom: secretValue("sizes", "samples"), StoreRef: &lockstepv1alpha1.StoreReference{Name: "other"},
	})
	w.create(l)
	w.ready("both")

	applied, _ := h.counts()

	w.secret("sizes", map[string]string{"memory": "65mb", "samples": "a lot of canaries"})
	refused := w.config("both", "to refuse", told("Stalled", "True/Refused"))

	one.expect("maxmemory", megabytes(64))
	other.expect("maxmemory-samples", "7")

	if a, _ := h.counts(); a != applied {
		t.Errorf("%d writes for a change that was refused", a-applied)
	}

	message := says(refused, "Prechecked")
	for _, part := range []string{"other: maxmemory-samples", "secret/sizes[samples]"} {
		if !strings.Contains(message, part) {
			t.Errorf("the message %q does not name %q", message, part)
		}
	}

	if strings.Contains(message, "canaries") {
		t.Errorf("the message has the value: %q", message)
	}

	want := map[string]lockstepv1alpha1.SettingState{"maxmemory": "Pending", "maxmemory-samples": "Refused"}
	if diff := cmp.Diff(want, states(refused)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}

	// Mended, it goes on.
	w.secret("sizes", map[string]string{"memory": "65mb", "samples": "8"})
	w.config("both", "to have the second revision", at(2))
	one.expect("maxmemory", megabytes(65))
	other.expect("maxmemory-samples", "8")
}

func TestAStoreThatIsFrozenMidChangeBringsEverythingBack(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	one, other := w.cache("one"), w.cache("other")

	h := &hooks{}
	w.start(h.use)
	w.secret("sizes", map[string]string{"memory": "64mb"})

	l := liveConfig("both", "one", from("maxmemory", "sizes", "memory"))
	l.Spec.Settings = append(l.Spec.Settings, lockstepv1alpha1.LiveSetting{
		Name: "maxmemory", ValueFrom: secretValue("sizes", "memory"), StoreRef: &lockstepv1alpha1.StoreReference{Name: "other"},
	})
	w.create(l)
	w.ready("both")

	// The second write of the next change finds a store that has just stopped.
	frozen := make(chan struct{})

	h.mu.Lock()
	writes := 0
	h.apply = func(_ context.Context, _ []live.Change, do func() error) error {
		h.mu.Lock()
		writes++
		n := writes
		h.mu.Unlock()

		if n == 2 {
			w.must(other.Pause())
			close(frozen)
		}

		return do()
	}
	h.mu.Unlock()

	w.secret("sizes", map[string]string{"memory": "65mb"})
	<-frozen

	w.config("both", "to be coming back", told("RolledBack", "Unknown/RollingBack"))
	one.expect("maxmemory", megabytes(64))

	w.must(other.Resume())
	back := w.config("both", "to be back", func(l *lockstepv1alpha1.LiveConfig) bool {
		return len(l.Status.History) > 1 && l.Status.History[0].Outcome == lockstepv1alpha1.ChangeRolledBack
	})
	one.expect("maxmemory", megabytes(64))
	other.expect("maxmemory", megabytes(64))

	if back.Status.Revision != 1 {
		t.Errorf("the revision in force is %d, want 1", back.Status.Revision)
	}

	if !strings.Contains(back.Status.History[0].Message, "LiveStore other") {
		t.Errorf("the message %q does not name the store", back.Status.History[0].Message)
	}

	// Nothing is lost: it is tried again after a while.
	w.config("both", "to have the third revision", at(3))
	one.expect("maxmemory", megabytes(65))
	other.expect("maxmemory", megabytes(65))
}

func TestACheckThatDoesNotHoldTakesTheChangeBack(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()
	w.secret("sizes", map[string]string{"memory": "64mb"})

	l := liveConfig("cache", "cache", from("maxmemory", "sizes", "memory"))
	l.Spec.Checks = []lockstepv1alpha1.Check{{
		Name: "small", Expression: `int(values["maxmemory"]) < 100 * 1024 * 1024`, Message: "no more than 100 MiB on these nodes",
	}}
	w.create(l)
	w.ready("cache")

	w.secret("sizes", map[string]string{"memory": "200mb"})
	back := w.config("cache", "to be back", told("Stalled", "True/RolledBack"))
	server.expect("maxmemory", megabytes(64))

	if message := says(back, "Ready"); !strings.Contains(message, "check small does not hold: no more than 100 MiB on these nodes") {
		t.Errorf("Ready says %q", message)
	}

	if diff := cmp.Diff(map[string]lockstepv1alpha1.SettingState{"maxmemory": "RolledBack"}, states(back)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}

	// Back to what was good is no new change for the store.
	w.secret("sizes", map[string]string{"memory": "64mb"})
	good := w.ready("cache")
	server.expect("maxmemory", megabytes(64))

	if good.Status.Revision != 1 || says(good, "RolledBack") != "RolledBack=False/None: " {
		t.Errorf("after the way back: revision %d, %s", good.Status.Revision, says(good, "RolledBack"))
	}
}

func TestAFailureIsLeftAsItIsIfThePolicySaysSo(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()
	w.secret("sizes", map[string]string{"memory": "64mb"})

	l := liveConfig("cache", "cache", from("maxmemory", "sizes", "memory"))
	l.Spec.Policy.OnFailure = lockstepv1alpha1.FailureHold
	l.Spec.Checks = []lockstepv1alpha1.Check{{Name: "small", Expression: `int(values["maxmemory"]) < 100 * 1024 * 1024`}}
	w.create(l)
	w.ready("cache")

	w.secret("sizes", map[string]string{"memory": "200mb"})
	held := w.config("cache", "to be held", told("Stalled", "True/Held"))
	server.expect("maxmemory", megabytes(200))

	if held.Status.History[0].Outcome != lockstepv1alpha1.ChangeHeld {
		t.Errorf("the outcome is %s", held.Status.History[0].Outcome)
	}
}

func TestAHundredRotationsLeaveExactlyTheLastValue(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()
	w.secret("sizes", map[string]string{"memory": "64mb"})
	w.create(liveConfig("cache", "cache", from("maxmemory", "sizes", "memory")))
	w.ready("cache")

	for n := range 100 {
		w.secret("sizes", map[string]string{"memory": megabytes(100 + n)})
	}

	marker := w.secret("sizes", map[string]string{"memory": megabytes(300)})
	last := w.config("cache", "to have the last value", func(l *lockstepv1alpha1.LiveConfig) bool {
		return isReady(l) && l.Status.ObservedSources[0].ResourceVersion == marker.ResourceVersion
	})
	server.expect("maxmemory", megabytes(300))

	if n := len(last.Status.History); n != 10 {
		t.Errorf("%d changes are remembered, want 10", n)
	}

	var records corev1.SecretList
	w.must(w.client.List(t.Context(), &records, client.InNamespace(w.namespace), client.MatchingLabels{"lockstep.dev/record": "live-revision"}))

	if len(records.Items) > 2 {
		t.Errorf("%d records are left", len(records.Items))
	}
}

func TestEditsWithinTheSettleWindowAreOneChange(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()
	w.secret("sizes", map[string]string{"memory": "64mb"})

	cm := &corev1.ConfigMap{Data: map[string]string{"samples": "5"}}
	cm.Name = "tuning"
	w.create(cm)

	l := liveConfig("cache", "cache", from("maxmemory", "sizes", "memory"))
	l.Spec.Settings = append(l.Spec.Settings, lockstepv1alpha1.LiveSetting{
		Name: "maxmemory-samples",
		ValueFrom: &lockstepv1alpha1.ValueSource{
			ConfigMapKeyRef: &lockstepv1alpha1.KeyReference{Name: "tuning", Key: "samples"},
		},
	})
	l.Spec.Policy.SettleWindow = seconds(1)
	w.create(l)
	w.ready("cache")

	begun := time.Now()

	w.secret("sizes", map[string]string{"memory": "65mb"})
	cm.Data["samples"] = "6"
	w.must(w.client.Update(t.Context(), cm))

	done := w.config("cache", "to have the second revision", at(2))
	server.expect("maxmemory", megabytes(65))
	server.expect("maxmemory-samples", "6")

	if diff := cmp.Diff([]string{"maxmemory", "maxmemory-samples"}, done.Status.History[0].Changed); diff != "" {
		t.Errorf("changed at once (-want +got):\n%s", diff)
	}

	if took := time.Since(begun); took < time.Second {
		t.Errorf("the window was over after %s", took)
	}
}
