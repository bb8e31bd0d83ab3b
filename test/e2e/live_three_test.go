package e2e

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lockstepv1alpha1 "github.com/lockstep-dev/lockstep/api/lockstep/v1alpha1"
)

// threeStores shows everything that a LiveConfig does in its life, by a manager that runs as it is installed and users that may
// do what is needed and nothing else.
func (w *liveWorld) threeStores() {
	s := w.trio(nil)
	before := s.whole()

	s.rotate(1)
	w.create(s.limits())

	p := w.manage("--leader-elect")
	first := w.config("limits", "to be in force", at(1))
	s.has(1)

	if !slices.Contains(first.Finalizers, "lockstep.dev/live") {
		w.Errorf("the finalizers are %q", first.Finalizers)
	}

	s.rotate(2)
	w.config("limits", "to have the second revision", at(2))
	s.has(2)
	s.recorded(2)

	// One value is out of range: nothing is written anywhere.
	refused := data(3)
	refused["maintenance"] = "1kB"
	w.put("limits", refused)
	w.config("limits", "to be refused", told("Prechecked", "False/Refused: db: maintenance_work_mem"))
	s.has(2)

	s.rotate(4)
	w.config("limits", "to have the next revision", at(3))
	s.has(4)
	w.otherRights()

	w.hears("LiveConfig", "limits", "Normal Applied: revision 3 is in force")
	w.hears("LiveConfig", "limits", "Warning Refused: db: maintenance_work_mem")
	w.lets("more")
	w.lets("limits")
	w.same("everything that the stores have, before and after", before, s.whole())

	// Of the end itself the libraries say what is no error.
	for _, text := range []string{"forbidden", "lacks", "panic", "ERROR"} {
		if lines := p.out.lines(text); len(lines) > 0 {
			w.Errorf("the log says:\n%s", strings.Join(lines, "\n"))
		}
	}

	p.terminate()

	// Whatever else is unused is a right too many.
	unused := slices.DeleteFunc(w.unused("lockstep-live"), func(right string) bool { return slices.Contains(unusedOnPurpose(), right) })
	if len(unused) > 0 {
		w.Errorf("no use is made of these rights: %q", unused)
	}
}

// unusedOnPurpose are rights that are there for other clusters, or for what hardly happens.
func unusedOnPurpose() []string {
	return []string{
		// An event that is told again and again is counted up instead of being written anew.
		"patch events.events.k8s.io",
		// Only clusters with the admission plugin OwnerReferencesPermissionEnforcement ask for it.
		"update liveconfigs/finalizers.lockstep.dev",
	}
}

// recorded checks what is kept of a revision.
func (t *trio) recorded(revision int64) {
	t.Helper()

	var records []corev1.Secret

	// The former one is let go of when everything else is told.
	eventually(t.TB, "one record", func() bool { records = t.records(); return len(records) == 1 })

	r := records[0]
	if r.Name != fmt.Sprintf("limits-live-%d", revision) || r.Immutable == nil || !*r.Immutable {
		t.Errorf("the record is %s, immutable: %v", r.Name, r.Immutable)
	}

	l := now(t.world, t.liveConfig("limits"))
	if !metav1.IsControlledBy(&r, l) {
		t.Errorf("the record's owners are %v", r.OwnerReferences)
	}

	if h := l.Status.History; len(h) != int(revision) || h[0].Trigger != "secret/limits" || len(h[0].Changed) != 6 {
		t.Errorf("the history is %+v", h)
	}
}

// otherRights has a manager do what the three stores alone would not ask of it: read a ConfigMap, and follow a Service.
func (w *liveWorld) otherRights() {
	w.create(
		&corev1.ConfigMap{ObjectMeta: w.meta("more"), Data: map[string]string{"hz": "20"}},
		&corev1.Service{ObjectMeta: w.meta("away"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 6379}}}},
		&lockstepv1alpha1.LiveStore{ObjectMeta: w.meta("away"), Spec: lockstepv1alpha1.LiveStoreSpec{
			Type:    lockstepv1alpha1.StoreRedis,
			Service: &lockstepv1alpha1.ServiceReference{Name: "away", Port: "6379", EachEndpoint: true},
		}},
	)

	more := w.liveConfig("more")
	more.Spec.StoreRef = &lockstepv1alpha1.StoreReference{Name: "cache"}
	more.Spec.From = []lockstepv1alpha1.LiveSource{{ConfigMapRef: &lockstepv1alpha1.ObjectReference{Name: "more"}}}
	w.create(more)
	w.config("more", "to be in force", at(1))
	w.hears("LiveStore", "away", "Warning StoreUnavailable: Service away has no ready endpoint")
}
