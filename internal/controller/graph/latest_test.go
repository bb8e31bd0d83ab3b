package graph

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/source"
)

func TestAnObjectThatIsGoneDoesNotComeBackWithTheAnswerToItsLastWrite(t *testing.T) {
	t.Parallel()

	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "a", UID: "1", ResourceVersion: "10", Finalizers: []string{finalizer},
		DeletionTimestamp: &metav1.Time{Time: time.Unix(1, 0)},
	}}
	free := held.DeepCopy()
	free.Finalizers, free.ResourceVersion = nil, "11"
	key := client.ObjectKeyFromObject(held)

	l := newLatest[corev1.ConfigMap]()
	l.change(source.Change[corev1.ConfigMap]{Key: key, New: held})
	l.put(free.DeepCopy())

	if got := l.get(key); got == nil || len(got.Finalizers) > 0 {
		t.Errorf("before the watch says so it is %v, want the last answer", got)
	}

	if before, _ := l.change(source.Change[corev1.ConfigMap]{Key: key, Old: held}); before == nil {
		t.Error("the end is no news")
	}

	l.put(free.DeepCopy())

	if got := l.get(key); got != nil {
		t.Errorf("after its end there is %v", got)
	}
}
