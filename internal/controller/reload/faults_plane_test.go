package reload_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/faults"
)

// writesTo selects the writes to an object, and to a resource where that is given instead.
func writesTo(name string) func(faults.Request) bool {
	return func(r faults.Request) bool { return r.Writes() && (r.Name == name || r.Resource == name) }
}

func lists(resource string) func(faults.Request) bool {
	return func(r faults.Request) bool { return (r.Verb == "list" || r.Verb == "watch") && r.Resource == resource }
}

// failed counts the requests that a rule took away.
func (r *run) failed() int {
	n := 0

	for _, q := range r.proxy.Requests() {
		if q.Failed {
			n++
		}
	}

	return n
}

// cut ends every watch and lets none begin until what it returns is called.
func (r *run) cut() (heal func()) {
	heal = r.proxy.Add(faults.Rule{
		Match: func(q faults.Request) bool { return q.Verb == "watch" }, Status: http.StatusServiceUnavailable,
	})
	r.proxy.Cut()

	return heal
}

// gap ends the watches of sources so that they cannot go on where they were: once what it returns is called, the
// sources are listed anew. A watch that goes on would show the changes of the gap one by one.
func (r *run) gap() (heal func()) {
	over := make(chan struct{})

	for _, resource := range []string{"configmaps", "secrets"} {
		r.proxy.Add(faults.Rule{
			Match: func(q faults.Request) bool { return q.Verb == "watch" && q.Resource == resource },
			Hold:  over, Status: http.StatusGone, Times: 1,
		})
	}

	r.proxy.Cut()

	return sync.OnceFunc(func() { close(over) })
}

func TestAWriteThatFailsForAWhileIsDoneInTheEnd(t *testing.T) {
	t.Parallel()
	installKinds(t)

	for _, status := range []int{http.StatusInternalServerError, http.StatusTooManyRequests, http.StatusConflict, http.StatusServiceUnavailable, 0} {
		// 0 is for a connection that is lost.
		t.Run(fmt.Sprintf("[B] %d", status), func(t *testing.T) {
			t.Parallel()

			const failures = 8 // the compatible controller gives up after six attempts

			w := newWorld(t)
			set, rollout := w.workload(workload.StatefulSet, "set", auto(), podTemplate(reads("app"))), w.workload(workload.Rollout, "rollout", auto(), podTemplate(reads("app")))
			job, cron := w.workload(workload.Job, "job", auto(), podTemplate(reads("app"))), w.workload(workload.CronJob, "cron", auto(), podTemplate(reads("app")))
			w.create(w.configMap("app", former()), w.secret("app", former()), set, rollout, job, cron)
			r := w.start(with("env-vars"))

			what := []string{"set", "rollout", "jobs"}
			if status == http.StatusConflict {
				what = what[:2] // to a creation, the status says that the object exists
			}

			for _, what := range what {
				r.proxy.Add(faults.Rule{Match: writesTo(what), Status: status, Drop: status == 0, Times: failures})
			}

			w.setData(w.secret("app", keyValue()))

			for _, o := range []client.Object{set, rollout} {
				if o := w.carries(o, w.secret("app", keyValue())); o.GetGeneration() != 2 {
					t.Errorf("%s: generation %d, want 2", o.GetName(), o.GetGeneration())
				}
			}
			expect.Object(t, w.client, job, "to be another one", func(o client.Object) bool { return o.GetUID() != job.GetUID() })
		})
	}
}

func TestALostAnswerDoesNotRollTwice(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	set := w.workload(workload.StatefulSet, "set", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), set)
	r := w.start()
	hear := r.proxy.Add(faults.Rule{Match: faults.Request.Writes, DropAnswer: true})
	w.setData(w.secret("app", keyValue()))
	w.carries(set, w.secret("app", keyValue()))
	r.log.wait(t, "carrying a change failed", r.done)
	hear()
	w.quiet()

	if now := get(w, set); now.GetGeneration() != 2 {
		t.Errorf("[B] generation %d, want 2", now.GetGeneration())
	}
}

func TestAStartOutlastsAServerInTrouble(t *testing.T) {
	t.Parallel()

	cases := map[string]func(faults.Request) bool{
		"[B] the lists of sources fail":   lists("secrets"),
		"[B] the lists of workloads fail": lists("statefulsets"),
	}

	for name, match := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			set := w.workload(workload.StatefulSet, "set", auto(), podTemplate(reads("app")))
			w.create(w.configMap("app", former()), w.secret("app", former()), set)
			w.start().stop()
			w.setData(w.secret("app", keyValue()))

			r := w.launch(func(p *parts) {
				p.rules = []faults.Rule{{Match: match, Status: http.StatusInternalServerError, Times: 4}}
			})
			if o := w.carries(set, w.secret("app", keyValue())); o.GetGeneration() != 2 {
				t.Errorf("generation %d, want 2", o.GetGeneration())
			}
			if n := r.failed(); n < 4 {
				t.Errorf("only %d requests failed", n)
			}
		})
	}
}

func TestTheBaselineIsWaitedFor(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	set := w.workload(workload.StatefulSet, "set", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), set)
	w.start().stop()
	w.setData(w.secret("app", keyValue()))

	r := w.launch(func(p *parts) {
		p.rules = []faults.Rule{{
			Match: func(q faults.Request) bool {
				return q.Verb == "list" && q.Resource == "configmaps" && q.Namespace == w.home
			},
			Status: http.StatusInternalServerError, Times: 3,
		}}
	})
	w.carries(set, w.secret("app", keyValue()))

	if n := r.failed(); n < 3 {
		t.Errorf("[B] it was carried before the baseline could be read, after %d failures", n)
	}
}

func TestNothingIsLostWhileWatchesAreCut(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	changed, deleted, appeared := w.workload(workload.StatefulSet, "changed", auto(), podTemplate(reads("changed"))),
		w.workload(workload.StatefulSet, "deleted", auto(), podTemplate(reads("deleted"))),
		w.workload(workload.StatefulSet, "appeared", auto(), podTemplate(reads("appeared")))
	w.create(w.configMap("changed", former()), w.configMap("deleted", former()), changed, deleted, appeared)

	r := w.start(func(p *parts) { p.OnCreate, p.OnDelete = true, true })
	w.setData(w.configMap("deleted", keyValue()))
	w.carries(deleted, w.configMap("deleted", keyValue()))
	w.quiet()

	heal := r.cut()
	w.setData(w.configMap("changed", ab()))
	w.setData(w.configMap("changed", keyValue()))
	w.delete(w.configMap("deleted", nil))
	w.create(w.configMap("appeared", keyValue()))
	heal()

	if o := w.carries(changed, w.configMap("changed", keyValue())); o.GetGeneration() != 2 {
		t.Errorf("[B] changed: generation %d, want 2", o.GetGeneration())
	}
	w.carries(appeared, w.configMap("appeared", keyValue()))
	expect.Object(t, w.client, deleted.(*appsv1.StatefulSet), "§8 [B] to lose the variable of a source that was deleted in the gap",
		func(s *appsv1.StatefulSet) bool { return len(variables(&s.Spec.Template)) == 0 })
}

func TestAGapInWhichNothingChangedWritesNothing(t *testing.T) {
	t.Parallel()

	for _, strategy := range strategies() {
		t.Run("[B] "+string(strategy), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			w.create(w.configMap("app", former()), w.secret("app", former()), w.workload(workload.StatefulSet, "set", auto(), podTemplate(reads("app"))))
			r := w.start(with(strategy), func(p *parts) { p.OnCreate, p.OnDelete = true, true })
			heal := r.gap()
			w.setData(w.configMap("app", ab()))
			w.setData(w.configMap("app", former()))
			w.delete(w.secret("app", nil))
			w.create(w.secret("app", former()))
			heal()
			w.quiet()

			if got := r.writes(); len(got) != 0 {
				t.Errorf("writes %v", got)
			}
		})
	}
}

func TestAWorkloadThatIsRefusedDelaysNobody(t *testing.T) {
	t.Parallel()

	for _, status := range []int{http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusInternalServerError} {
		t.Run(fmt.Sprintf("§9 [B] %d", status), func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			// The kinds are carried to in this order, and the refused one is the first.
			refused := w.deployment("a-refused", auto(), podTemplate(reads("app")))
			w.create(w.configMap("app", former()), w.secret("app", former()), refused)

			others := []client.Object{w.deployment("b", auto(), podTemplate(reads("app")))}
			for _, kind := range []workload.Kind{workload.DaemonSet, workload.StatefulSet} {
				others = append(others, w.workload(kind, "c", auto(), podTemplate(reads("app"))))
			}
			w.create(others...)

			r := w.start(func(p *parts) { p.Workers = 1 })
			heal := r.proxy.Add(faults.Rule{Match: writesTo("a-refused"), Status: status})

			for _, data := range []map[string]string{keyValue(), ab()} {
				w.setData(w.secret("app", data))
				for _, o := range others {
					w.carries(o, w.secret("app", data))
				}
			}

			w.quiet()

			if now := get(w, refused); len(carriedBy(now).Sources) != 0 {
				t.Error("the refused one was written to")
			}

			// Once it is no longer refused, a change of it is enough to try again.
			heal()
			w.merge(refused, `{"metadata":{"annotations":{"reloader.stakater.com/auto":"1"}}}`)
			w.carries(refused, w.secret("app", ab()))
		})
	}
}

func TestARequestThatHangsDelaysNobody(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	slow, quick := w.deployment("a-slow", auto(), podTemplate(reads("app"))), w.deployment("b-quick", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), slow, quick)

	r := w.start()
	release := make(chan struct{})
	r.proxy.Add(faults.Rule{Match: writesTo("a-slow"), Hold: release})
	w.setData(w.secret("app", keyValue()))
	w.carries(quick, w.secret("app", keyValue()))
	close(release)
	w.carries(slow, w.secret("app", keyValue()))
}
