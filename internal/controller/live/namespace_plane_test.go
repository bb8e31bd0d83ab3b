package live_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// In a namespace that is deleted nobody knows what goes first.
func TestALiveConfigGivesBackThoughTheCredentialsOfItsStoreGoFirst(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("plain")
	server.user("lockstep", "login")

	s := liveStore("cache", lockstepv1alpha1.StoreRedis, server.Addr())
	s.Spec.Credentials = &lockstepv1alpha1.StoreCredentials{SecretName: "login"}
	w.create(s)
	w.start()

	login := w.secret("login", map[string]string{"username": "lockstep", "password": "login"})
	l := liveConfig("cache", "cache", set("maxmemory", "64mb"))
	w.create(l)
	w.ready("cache")

	w.must(w.client.Delete(t.Context(), login))
	w.store("cache", "to miss its Secret", "False/SecretMissing")
	w.must(w.client.Delete(t.Context(), s))
	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	server.expect("maxmemory", "0")
}

func TestTheEndOfAnOptionalSecretIsNoticed(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()
	s := w.secret("sizes", map[string]string{"memory": "64mb"})

	// The watch has told of the Secret before somebody refers to it.
	w.create(liveConfig("marker", "cache", set("maxmemory-samples", "3")))
	w.ready("marker")

	l := liveConfig("cache", "cache", from("maxmemory", "sizes", "memory"), set("maxmemory-policy", "allkeys-lru"))
	l.Spec.Settings[0].ValueFrom.SecretKeyRef.Optional = true
	w.create(l)
	w.ready("cache")
	server.expect("maxmemory", megabytes(64))

	w.must(w.client.Delete(t.Context(), s))
	w.config("cache", "to have the second revision", at(2))
	server.expect("maxmemory", "0")
}

func TestNothingIsWrittenThroughALiveStoreThatIsDeleted(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	h := &hooks{}
	w.start(h.use)
	w.create(liveConfig("cache", "cache", set("maxmemory", "64mb")))
	w.ready("cache")

	s := liveStoreKey(w, "cache")
	w.must(w.client.Delete(t.Context(), s))
	expect.Gone(t, w.client, s)
	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Settings[0] = set("maxmemory", "65mb") })

	waits := w.config("cache", "to wait", told("Ready", "False/SourceMissing"))
	if message := says(waits, "Ready"); !strings.HasSuffix(message, "LiveStore cache does not exist") {
		t.Errorf("Ready says %q", message)
	}

	if applied, _ := h.counts(); applied != 1 {
		t.Errorf("%d writes to the store, want the first one alone", applied)
	}

	server.expect("maxmemory", megabytes(64))
}

// With one that is not there nobody knows what it has asked for.
func TestWithBestEffortNothingOfAWholeSourceThatIsMissingIsGivenBack(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()

	s := w.secret("all", map[string]string{"maxmemory": "64mb"})
	l := liveConfig("cache", "cache", set("maxmemory-samples", "3"))
	l.Spec.From = []lockstepv1alpha1.LiveSource{{SecretRef: &lockstepv1alpha1.ObjectReference{Name: "all"}}}
	l.Spec.Policy.Atomicity = lockstepv1alpha1.AtomicBestEffort
	w.create(l)
	w.ready("cache")

	w.must(w.client.Delete(t.Context(), s))
	w.config("cache", "to wait for its source", told("Ready", "False/SourceMissing"))
	server.expect("maxmemory", megabytes(64))

	w.secret("all", map[string]string{"maxmemory": "65mb"})
	w.config("cache", "to have the second revision", at(2))
	server.expect("maxmemory", megabytes(65))

	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	server.expect("maxmemory", "0")
}

func TestADryRunThatIsDeletedWritesNothing(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()

	l := liveConfig("cache", "cache", set("maxmemory", "64mb"))
	w.create(l)
	w.ready("cache")
	w.edit("cache", func(s *lockstepv1alpha1.LiveConfigSpec) { s.Policy.DryRun = true })
	w.config("cache", "to be dry", told("Applied", "False/DryRun"))

	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	server.expect("maxmemory", megabytes(64))
}

func TestWhatCannotBeGivenBackForWantOfARecordIsTold(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	server := w.cache("cache")
	w.start()

	l := liveConfig("cache", "cache", set("maxmemory", "64mb"))
	w.create(l)

	record := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.ready("cache").Status.Record}}
	w.must(w.client.Delete(t.Context(), record))
	w.must(w.client.Delete(t.Context(), l))
	expect.Gone(t, w.client, l)
	server.expect("maxmemory", megabytes(64))

	w.event("ReleasedWithoutRestore", record.Name)
}

func TestARecordThatIsTooLargeIsToldAndNothingIsWritten(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	etcd := stores.OwnEtcd(t, localstore.EtcdOptions{})
	w.create(liveStore("etcd", lockstepv1alpha1.StoreEtcd, etcd.URL()))

	h := &hooks{}
	w.start(h.use)

	l := liveConfig("etcd", "etcd", set("/one", "1"))

	for i := range 2 {
		large := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("large-%d", i)}, Data: map[string]string{}}
		for k := range 10 {
			large.Data[fmt.Sprintf("key-%d-%d", i, k)] = strings.Repeat("x", 60_000)
		}

		w.create(large)
		l.Spec.From = append(l.Spec.From, lockstepv1alpha1.LiveSource{ConfigMapRef: &lockstepv1alpha1.ObjectReference{Name: large.Name}})
	}

	w.create(l)
	w.config("etcd", "to have failed", func(l *lockstepv1alpha1.LiveConfig) bool {
		return strings.HasPrefix(says(l, "Applied"), "Applied=False/Failed")
	})

	if applied, _ := h.counts(); applied != 0 {
		t.Errorf("%d writes to the store", applied)
	}
}
