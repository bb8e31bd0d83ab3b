package reload

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/digest"
	"github.com/lockstep-dev/lockstep/internal/refs"
	"github.com/lockstep-dev/lockstep/internal/source"
	"github.com/lockstep-dev/lockstep/internal/telemetry"
)

const podStatuses = "secretproviderclasspodstatuses"

// csi is the API of the Secrets Store CSI driver.
func csi() schema.GroupVersion {
	return schema.GroupVersion{Group: "secrets-store.csi.x-k8s.io", Version: "v1"}
}

// PodStatuses is the resource by which the Secrets Store CSI driver says what it mounted.
func PodStatuses() schema.GroupVersionResource { return csi().WithResource(podStatuses) }

// mounted is what one pod has mounted of a SecretProviderClass.
type mounted struct {
	class   string
	content digest.Content
	version string
	changed time.Time
}

// marks are a SecretProviderClass's own annotations.
type marks struct{ ignored, matched bool }

func csiList(kind string) (*unstructured.Unstructured, *unstructured.UnstructuredList) {
	obj, list := &unstructured.Unstructured{}, &unstructured.UnstructuredList{}
	obj.SetGroupVersionKind(csi().WithKind(kind))
	list.SetGroupVersionKind(csi().WithKind(kind + "List"))

	return obj, list
}

// watchClasses keeps of every SecretProviderClass whether it is ignored or matched.
func (c *Controller) watchClasses(namespace string) informer {
	obj, list := csiList(string(refs.SecretProviderClass))

	return source.NewInformer(source.Options[marks]{
		Client: c.Client, Object: obj, List: list, Namespace: namespace, FieldSelector: c.exceptExcluded(namespace),
		Strip: func(obj client.Object) *marks {
			s := c.Settings.Reload.SourceOf(
				refs.Key{Kind: refs.SecretProviderClass, Namespace: obj.GetNamespace(), Name: obj.GetName()}, obj.GetAnnotations())

			return &marks{ignored: s.Ignored, matched: s.Matched}
		},
		Changed: func(ch source.Change[marks]) {
			var m marks
			if ch.New != nil {
				m = *ch.New
			}

			c.state.markClass(refs.Key{Kind: refs.SecretProviderClass, Namespace: ch.Key.Namespace, Name: ch.Key.Name}, m)
		},
		Log: c.Log.WithValues("watch", "secretproviderclasses"),
	})
}

// watchPodStatuses makes one source of what all pods have mounted of a class. A pod that is new has just read
// what there is, and one that is gone reads nothing: only a pod whose mount changed tells of a change.
func (c *Controller) watchPodStatuses(namespace string) informer {
	obj, list := csiList("SecretProviderClassPodStatus")

	return source.NewInformer(source.Options[mounted]{
		Client: c.Client, Object: obj, List: list, Namespace: namespace, FieldSelector: c.exceptExcluded(namespace),
		LabelSelector: c.Settings.Scope.SourceSelector,
		Strip:         stripPodStatus,
		Changed:       c.mountChanged,
		Log:           c.Log.WithValues("watch", podStatuses),
	})
}

func (c *Controller) mountChanged(ch source.Change[mounted]) {
	if !ch.Initial {
		c.Reporter.Metrics.Received(eventOf(ch.Old != nil, ch.New != nil), telemetry.SecretProviderClassPodStatuses)
	}

	if ch.New == nil || ch.New.class == "" {
		return
	}

	key := refs.Key{Kind: refs.SecretProviderClass, Namespace: ch.Key.Namespace, Name: ch.New.class}
	moved := !ch.Initial && ch.Old != nil && ch.Old.content.Whole != ch.New.content.Whole

	if !c.state.putClass(key, ch.New, !moved) || !moved {
		if !ch.Initial && !moved {
			c.Reporter.Metrics.Skipped(telemetry.SkipNoDataChange)
		}

		return
	}

	if c.state.isLive() && c.inScope(key.Namespace) {
		c.changed(key, &ch.Old.content)
	} else {
		c.state.release(key)
	}
}

func stripPodStatus(obj client.Object) *mounted {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil
	}

	m := &mounted{version: u.GetResourceVersion(), changed: u.GetCreationTimestamp().Time}
	m.class, _, _ = unstructured.NestedString(u.Object, "status", "secretProviderClassName")

	items, _, _ := unstructured.NestedSlice(u.Object, "status", "objects")
	objects := make([]digest.Object, 0, len(items))

	for _, item := range items {
		fields, _ := item.(map[string]any)
		id, _, _ := unstructured.NestedString(fields, "id")
		version, _, _ := unstructured.NestedString(fields, "version")
		objects = append(objects, digest.Object{ID: id, Version: version})
	}

	m.content = digest.OfPodStatus(u.GetNamespace(), m.class, objects)

	for _, f := range u.GetManagedFields() {
		if f.Time != nil {
			m.changed = slices.MaxFunc([]time.Time{m.changed, f.Time.Time}, time.Time.Compare)
		}
	}

	return m
}

// putClass keeps what a pod has mounted as what the class holds. What was there already does not replace
// something newer. It tells whether it was kept.
func (s *state) putClass(key refs.Key, m *mounted, onlyNewer bool) bool {
	o := &origin{content: m.content, resourceVersion: m.version, written: m.changed, created: m.changed}

	s.mu.Lock()
	defer s.mu.Unlock()

	known := s.sources[key]
	o.ignored, o.matched = s.classes[key].ignored, s.classes[key].matched

	if onlyNewer && known != nil && !m.changed.After(known.written) {
		return false
	}

	s.keep(key, o, onlyNewer)

	return true
}

// markClass keeps a class's own annotations.
func (s *state) markClass(key refs.Key, m marks) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.classes[key] = m

	if o := s.sources[key]; o != nil {
		changed := *o
		changed.ignored, changed.matched = m.ignored, m.matched
		s.sources[key] = &changed
	}
}
