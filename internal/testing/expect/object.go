package expect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// Limit is how long the verbs wait before they fail the test. It is generous: a test that passes never waits for
// it, and one on a busy machine must not fail for that alone.
const Limit = 30 * time.Second

// Object waits until the object with the kind, the namespace and the name of key satisfies the condition, and
// returns it as it was then. The object need not exist yet. After [Limit] the test fails with what, which completes
// the sentence "expected kind namespace/name …", and the object as it was last seen. It must be called from the
// test's own goroutine.
func Object[T client.Object](t testing.TB, c client.WithWatch, key T, what string, condition func(T) bool) T {
	t.Helper()
	w := &watcher[T]{client: c, key: key, until: func(e watch.EventType, object T) bool {
		return e != watch.Deleted && condition(object)
	}}

	return w.wait(t, what)
}

// Gone waits until the object with the kind, the namespace and the name of key does not exist. It fails like
// [Object].
func Gone[T client.Object](t testing.TB, c client.WithWatch, key T) {
	t.Helper()
	w := &watcher[T]{client: c, key: key, gone: true, until: func(e watch.EventType, _ T) bool {
		return e == watch.Deleted
	}}
	w.wait(t, "to be gone")
}

// watcher follows one object.
type watcher[T client.Object] struct {
	client client.WithWatch
	key    T
	gone   bool // whether absence at the first look is the end
	until  func(watch.EventType, T) bool
	last   T
	seen   bool
}

func (w *watcher[T]) wait(t testing.TB, what string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Limit)
	defer cancel()
	for {
		done, err := w.follow(ctx)
		if done {
			return w.last
		}
		if err != nil {
			t.Fatalf("expected %s %s: %v\n%s", w.name(), what, err, w.summary())
		}
	}
}

// follow watches until the condition holds, or until the server ends the watch: then it is called again.
func (w *watcher[T]) follow(ctx context.Context) (bool, error) {
	list, err := w.list()
	if err != nil {
		return false, err
	}
	selection := &client.ListOptions{
		Namespace:     w.key.GetNamespace(),
		FieldSelector: fields.OneTermEqualSelector("metadata.name", w.key.GetName()),
	}
	done, err := w.look(ctx, list, selection)
	if done || err != nil {
		return done, err
	}
	selection.Raw = &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}
	events, err := w.client.Watch(ctx, list, selection)
	if err != nil {
		return false, fmt.Errorf("watch: %w", err)
	}
	defer events.Stop()
	for {
		select {
		case event, open := <-events.ResultChan():
			if !open || event.Type == watch.Error {
				return false, nil
			}
			if w.take(event.Type, event.Object) {
				return true, nil
			}
		case <-ctx.Done():
			return false, errors.New("it did not come to that within " + Limit.String())
		}
	}
}

// look says whether what is there already is what is waited for.
func (w *watcher[T]) look(ctx context.Context, list client.ObjectList, selection *client.ListOptions) (bool, error) {
	if err := w.client.List(ctx, list, selection); err != nil {
		return false, fmt.Errorf("list: %w", err)
	}
	items, err := apimeta.ExtractList(list)
	if err != nil {
		return false, fmt.Errorf("read the list: %w", err)
	}
	found := slices.ContainsFunc(items, func(item runtime.Object) bool { return w.take(watch.Added, item) })

	return found || (w.gone && len(items) == 0), nil
}

// take looks at one state of the object and says whether it is the one waited for.
func (w *watcher[T]) take(event watch.EventType, state runtime.Object) bool {
	object, ok := state.(T)
	if !ok || object.GetName() != w.key.GetName() {
		return false
	}
	w.last, w.seen = object, event != watch.Deleted

	return w.until(event, object)
}

// list returns an empty list of the key's kind.
func (w *watcher[T]) list() (client.ObjectList, error) {
	gvk, err := w.kind()
	if err != nil {
		return nil, err
	}
	plural := gvk.GroupVersion().WithKind(gvk.Kind + "List")
	switch any(w.key).(type) {
	case *unstructured.Unstructured:
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(plural)

		return list, nil
	case *metav1.PartialObjectMetadata:
		return nil, errors.New("metadata alone is not supported: use the typed or the unstructured object")
	}
	object, err := w.client.Scheme().New(plural)
	if err != nil {
		return nil, fmt.Errorf("make a list of %s: %w", gvk.Kind, err)
	}
	list, ok := object.(client.ObjectList)
	if !ok {
		return nil, fmt.Errorf("%s is not a list", plural.Kind)
	}

	return list, nil
}

func (w *watcher[T]) kind() (schema.GroupVersionKind, error) {
	gvk, err := w.client.GroupVersionKindFor(w.key)
	if err != nil {
		return gvk, fmt.Errorf("find the kind of %T: %w", w.key, err)
	}

	return gvk, nil
}

func (w *watcher[T]) name() string {
	gvk, err := w.kind()
	if err != nil {
		return client.ObjectKeyFromObject(w.key).String()
	}

	return gvk.Kind + " " + client.ObjectKeyFromObject(w.key).String()
}

// summary shows the object as it was last seen, without what is long and says nothing, and without the contents of
// a Secret.
func (w *watcher[T]) summary() string {
	if !w.seen {
		return "it does not exist"
	}
	object, ok := w.last.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Sprintf("last seen: %T", w.last)
	}
	object.SetManagedFields(nil)
	switch o := object.(type) {
	case *corev1.Secret:
		o.Data, o.StringData = nil, nil
	case *unstructured.Unstructured:
		if o.GroupVersionKind() == corev1.SchemeGroupVersion.WithKind("Secret") {
			delete(o.Object, "data")
		}
	}
	content, err := yaml.Marshal(object)
	if err != nil {
		return fmt.Sprintf("last seen: %T, %v", w.last, err)
	}

	return "last seen:\n" + string(content)
}
