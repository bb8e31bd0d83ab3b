package reload_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// selecting makes a controller look everywhere for namespaces with the world's label. It is the one way in which a
// test can look everywhere without meddling with the others.
func selecting(w *world) func(*parts) {
	return func(p *parts) {
		p.Scope.Namespaces = nil
		p.Scope.NamespaceSelector = labels.SelectorFromSet(labels.Set{"world": w.namespace})
	}
}

func (w *world) label(namespace string) {
	w.Helper()
	w.merge(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, `{"metadata":{"labels":{"world":%q}}}`, w.namespace)
}

func TestOnlySelectedNamespacesCount(t *testing.T) {
	t.Parallel()

	w, other, late := newWorld(t), newWorld(t), newWorld(t)
	for _, in := range []*world{w, other, late} {
		in.create(in.configMap("app", former()), in.secret("app", former()), in.deployment("app", auto(), podTemplate(reads("app"))))
	}

	// A pause in a namespace that is not ours is not ours to end, either.
	paused := other.deployment("paused", annotations("reloader.stakater.com/auto", "true", periodKey, "1s",
		pausedAtKey, time.Now().Add(-time.Hour).Format(time.RFC3339)), podTemplate(reads("app")))
	paused.Spec.Paused = true
	other.create(paused)

	w.label(w.namespace)
	r := w.start(selecting(w))
	other.setData(other.configMap("app", keyValue()))
	w.setData(w.configMap("app", keyValue()))
	w.carries(w.deployment("app", nil, podTemplate()), w.configMap("app", keyValue()))
	w.label(late.namespace)
	r.log.wait(t, fmt.Sprintf("\"namespace\"=%q \"selected\"=true", late.namespace), r.done)
	late.quiet()
	late.setData(late.configMap("app", ab()))
	late.carries(late.deployment("app", nil, podTemplate()), late.configMap("app", ab()))
	w.quiet()

	for _, d := range []*appsv1.Deployment{other.deployment("app", nil, podTemplate()), paused} {
		if now := get(other, d); now.Generation != 1 || now.Spec.Paused != d.Spec.Paused {
			t.Errorf("§17 %s, which is in no selected namespace, was written to: generation %d", now.Name, now.Generation)
		}
	}
}

func TestOnlyLabelledSourcesCount(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	app, plain := w.configMap("app", former()), w.configMap("plain", former())
	app.Labels = map[string]string{"reload": "yes"}
	w.create(app, plain, w.deployment("app", auto(), podTemplate(reads("app"))), w.deployment("plain", auto(), podTemplate(reads("plain"))))
	w.merge(w.configMap(sentinel, nil), `{"metadata":{"labels":{"reload":"yes"}}}`)
	w.merge(w.secret(sentinel, nil), `{"metadata":{"labels":{"reload":"yes"}}}`)
	r := w.start(func(p *parts) { p.Scope.SourceSelector, p.OnCreate, p.OnDelete = "reload=yes", true, true })
	w.setData(w.configMap("plain", keyValue()))
	w.setData(w.configMap("app", keyValue()))
	w.carries(w.deployment("app", nil, podTemplate()), w.configMap("app", keyValue()))
	w.quiet()

	if d := get(w, w.deployment("plain", nil, podTemplate())); d.Generation != 1 {
		t.Errorf("§17 a source without the label was carried: generation %d", d.Generation)
	}

	// §8: a source that gains the label is as good as created, one that loses it as good as deleted.
	w.merge(plain, `{"metadata":{"labels":{"reload":"yes"}}}`)
	w.carries(w.deployment("plain", nil, podTemplate()), w.configMap("plain", keyValue()))
	before := len(r.writes())
	w.merge(app, `{"metadata":{"labels":{"reload":null}}}`)
	w.quiet()

	if d := get(w, w.deployment("app", nil, podTemplate())); len(variables(&d.Spec.Template)) != 0 || len(r.writes()) != before+1 {
		t.Errorf("§8 a source that lost the label: variables %v", variables(&d.Spec.Template))
	}
}
