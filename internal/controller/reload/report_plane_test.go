package reload_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/target/workload"
	"github.com/lockstep-dev/lockstep/internal/testing/expect"
	"github.com/lockstep-dev/lockstep/internal/testing/faults"
)

func (w *world) event(what string, match func(*corev1.Event) bool) *corev1.Event {
	w.Helper()

	return first(w, w.namespace, &corev1.EventList{}, "Event: "+what, match)
}

func TestAReloadIsAnEventOfTheWorkload(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	s := w.workload(workload.StatefulSet, "db", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), s)
	w.start()
	w.setData(w.configMap("app", keyValue()), w.secret("app", keyValue()))

	for component, source := range map[string]string{"reloader-configmaps": "CONFIGMAP", "reloader-secrets": "SECRET"} {
		e := w.event("of "+component, func(e *corev1.Event) bool {
			return e.InvolvedObject.Name == "db" && e.Source.Component == component
		})
		got := []string{e.Type, e.Reason, e.Message, e.InvolvedObject.Kind, e.InvolvedObject.APIVersion, string(e.InvolvedObject.UID)}
		want := []string{
			"Normal", "Reloaded",
			fmt.Sprintf("Changes detected in 'app' of type '%s' in namespace '%[2]s', Updated 'db' of type 'StatefulSet' in namespace '%[2]s'", source, w.namespace),
			"StatefulSet", "apps/v1", string(s.GetUID()),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("§16 event of %s -want +got\n%s", component, diff)
		}
	}
}

func TestAReloadThatFailsIsAnEventOfTheWorkload(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	s := w.workload(workload.StatefulSet, "db", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), s)
	r := w.start()
	heal := r.proxy.Add(faults.Rule{Match: writesTo("db"), Status: http.StatusInternalServerError})
	w.setData(w.secret("app", keyValue()))

	e := w.event("of the failure", func(e *corev1.Event) bool { return e.Reason == "ReloadFail" })
	want := fmt.Sprintf("Update for 'db' of type 'StatefulSet' in namespace '%s' failed with error ", w.namespace)
	if e.Type != "Warning" || !strings.HasPrefix(e.Message, want) || e.Source.Component != "reloader-secrets" {
		t.Errorf("§16 event %s %q from %s, want a Warning that begins with %q", e.Type, e.Message, e.Source.Component, want)
	}

	if r.count("reloader_reload_executed_total", "success", "false") == 0 ||
		r.count("reloader_action_total", "workload_kind", "StatefulSet", "result", "error") == 0 ||
		r.count("reloader_errors_total", "type", "handler_error") == 0 || r.count("lockstep_reload_pending") == 0 {
		t.Error("§15 the failure is not counted")
	}

	heal()
	w.carries(s, w.secret("app", keyValue()))
}

func TestAReloadIsCounted(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	s := w.workload(workload.StatefulSet, "db", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), s)
	r := w.start()

	series := map[string][]string{
		"reloader_action_total":                       {"workload_kind", "StatefulSet", "result", "success"},
		"reloader_action_latency_seconds":             {"workload_kind", "StatefulSet"},
		"reloader_workloads_matched_total":            {"kind", "StatefulSet"},
		"reloader_reload_executed_total":              {"success", "true"},
		"reloader_reload_executed_total_by_namespace": {"success", "true", "namespace", w.namespace},
		"reloader_reconcile_total":                    {"result", "success"},
		"reloader_reconcile_duration_seconds":         {"result", "success"},
		"reloader_events_received_total":              {"event_type", "update", "resource_type", "secrets"},
		"reloader_events_processed_total":             {"resource_type", "secrets", "result", "success"},
		"reloader_workqueue_adds_total":               {},
		"reloader_workqueue_latency_seconds":          {},
		"lockstep_reload_propagation_seconds":         {},
	}
	before := map[string]float64{}
	for name, labels := range series {
		before[name] = r.count(name, labels...)
	}

	w.setData(w.secret("app", keyValue()))
	w.carries(s, w.secret("app", keyValue()))
	// The counters follow the write.
	w.event("of the reload", func(e *corev1.Event) bool { return e.InvolvedObject.Name == "db" })

	for name, labels := range series {
		if got := r.count(name, labels...) - before[name]; got < 1 {
			t.Errorf("§15 %s%v was counted %v times, want once", name, labels, got)
		}
	}

	for _, name := range []string{"reloader_action_total", "reloader_action_latency_seconds"} {
		if got := r.count(name, series[name]...) - before[name]; got != 1 {
			t.Errorf("§15 %s was counted %v times, want once", name, got)
		}
	}

	if got := r.count("reloader_reload_executed_total", "success", "false"); got != 0 {
		t.Errorf("§15 %v failures were counted", got)
	}
}

func TestABadAnnotationIsToldOnceAndHindersNobody(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	bad := w.deployment("bad", annotations(
		"configmap.reloader.stakater.com/reload", "a(b,app", "secret.reloader.stakater.com/auto", "yes",
		"lockstep.dev/min-interval", "later", "lockstep.dev/keys", "pod/x=y"), podTemplate(reads("app")))
	good := w.deployment("good", auto(), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), bad, good)
	r := w.start()

	for _, value := range []string{"a(b", "yes", "later", "pod/x=y"} {
		e := w.event("about "+value, func(e *corev1.Event) bool {
			return e.Reason == "InvalidAnnotation" && e.InvolvedObject.Name == "bad" && strings.Contains(e.Message, value)
		})
		if e.Type != "Warning" {
			t.Errorf("the event is %s", e.Type)
		}
	}

	for _, data := range []map[string]string{keyValue(), ab()} {
		w.setData(w.configMap("app", data))
		w.carries(bad, w.configMap("app", data))
		w.carries(good, w.configMap("app", data))
	}

	w.quiet()

	told := 0
	for _, line := range r.log.all() {
		if strings.Contains(line, "an annotation cannot be read") {
			told++
		}
	}

	if told != 4 {
		t.Errorf("%d lines about 4 annotations that cannot be read", told)
	}

	var events corev1.EventList
	w.must(w.client.List(t.Context(), &events, client.InNamespace(w.namespace)))
	for _, e := range events.Items {
		if e.Reason == "InvalidAnnotation" && e.Count > 1 {
			t.Errorf("%q was told %d times", e.Message, e.Count)
		}
	}
}

func TestNoSecretValueIsEverWrittenDown(t *testing.T) {
	t.Parallel()

	const value = "correct-horse-battery-staple"

	w := newWorld(t)
	d := w.deployment("app", annotations("reloader.stakater.com/auto", "true", "lockstep.dev/keys", "secret/app=password"), podTemplate(reads("app")))
	w.create(w.configMap("app", former()), w.secret("app", former()), d)
	r := w.start()
	w.setData(w.secret("app", map[string]string{"password": value}))
	expect.Object(t, w.client, d, "to be rolled", func(d *appsv1.Deployment) bool { return len(variables(&d.Spec.Template)) == 1 })
	w.event("of the reload", func(e *corev1.Event) bool { return e.InvolvedObject.Name == "app" })
	w.quiet()
	r.stop()

	texts := r.log.all()

	var events corev1.EventList
	w.must(w.client.List(t.Context(), &events, client.InNamespace(w.namespace)))
	for _, e := range events.Items {
		texts = append(texts, e.Message)
	}

	var baseline corev1.ConfigMapList
	w.must(w.client.List(t.Context(), &baseline, client.InNamespace(w.home)))
	for _, cm := range baseline.Items {
		texts = append(texts, fmt.Sprint(cm.Data))
	}

	texts = append(texts, fmt.Sprint(get(w, d)))

	for _, text := range texts {
		if strings.Contains(text, value) {
			t.Errorf("the value of a Secret is in: %s", text)
		}
	}
}

func TestAnnounceOnlyTellsOfChangesAndWritesNothing(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	w.create(w.configMap("app", former()), w.secret("app", former()), w.deployment("app", auto(), podTemplate(reads("app"))))
	r := w.launch(func(p *parts) { p.AnnounceOnly = true })
	r.listed()

	for n := range 3 {
		w.setData(w.configMap("app", map[string]string{"n": strconv.Itoa(n)}))
		<-r.announced
	}

	w.merge(w.secret("app", nil), `{"metadata":{"labels":{"a":"b"}}}`)
	w.create(w.configMap("another", former()))
	w.setData(w.secret("app", keyValue()))
	<-r.announced
	r.stop()

	if n := len(r.announced); n != 0 {
		t.Errorf("§13 %d changes too many were announced", n)
	}
	if got := r.writes(); len(got) != 0 {
		t.Errorf("§13 writes %v", got)
	}
}
