package source

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestAnObjectThatIsGoneDoesNotComeBackWithTheAnswerToItsLastWrite(t *testing.T) {
	t.Parallel()

	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "a", UID: "1", ResourceVersion: "10", Finalizers: []string{"lockstep.dev/held"},
		DeletionTimestamp: &metav1.Time{Time: time.Unix(1, 0)},
	}}
	free := held.DeepCopy()
	free.Finalizers, free.ResourceVersion = nil, "11"
	key := client.ObjectKeyFromObject(held)

	l := NewLatest[corev1.ConfigMap]()
	l.Change(Change[corev1.ConfigMap]{Key: key, New: held})
	l.Put(free.DeepCopy())

	if got := l.Get(key); got == nil || len(got.Finalizers) > 0 {
		t.Errorf("before the watch says so it is %v, want the last answer", got)
	}

	if before, _ := l.Change(Change[corev1.ConfigMap]{Key: key, Old: held}); before == nil {
		t.Error("the end is no news")
	}

	l.Put(free.DeepCopy())

	if got := l.Get(key); got != nil {
		t.Errorf("after its end there is %v", got)
	}
}

// Somebody deletes what we have just written, and the watch is faster than the answer.
func TestAnObjectThatIsGoneDoesNotComeBackWithALateAnswer(t *testing.T) {
	t.Parallel()

	written := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a", UID: "1", ResourceVersion: "10"}}
	key := client.ObjectKeyFromObject(written)

	l := NewLatest[corev1.ConfigMap]()
	l.Change(Change[corev1.ConfigMap]{Key: key, New: written})
	l.Change(Change[corev1.ConfigMap]{Key: key, Old: written})
	l.Put(written.DeepCopy())

	if got := l.Get(key); got != nil {
		t.Errorf("after its end there is %v", got)
	}

	again := written.DeepCopy()
	again.UID, again.ResourceVersion = "2", "12"
	l.Put(again)

	if got := l.Get(key); got == nil || got.UID != "2" {
		t.Errorf("one that was made again is %v", got)
	}
}
