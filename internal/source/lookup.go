package source

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"github.com/lockstep-dev/lockstep/internal/graph"
)

// Labelled returns the definitions that are ours and have the label, in no order. They are shared: nobody may change
// them.
func (s *Schemas) Labelled(label, value string) []*apiextensionsv1.CustomResourceDefinition {
	s.mu.RLock()
	defer s.mu.RUnlock()

	var found []*apiextensionsv1.CustomResourceDefinition

	for _, d := range s.definitions {
		if got, there := d.crd.Labels[label]; d.ours && there && got == value {
			found = append(found, d.crd)
		}
	}

	return found
}

// Resource returns the kind in the version that is the most mature of those that are served, without its schema. The
// errors are those of [Schemas.Kind].
func (s *Schemas) Resource(kind schema.GroupKind) (*graph.Kind, error) {
	select {
	case <-s.Synced():
	default:
		return nil, errNotListed
	}

	s.mu.RLock()
	d := s.kinds[kind]
	s.mu.RUnlock()

	if d == nil {
		return s.others.resource(kind, s.isTaken)
	}

	var best string

	for name := range d.versions {
		if best == "" || version.CompareKubeAwareVersionStrings(name, best) > 0 {
			best = name
		}
	}

	return &graph.Kind{
		GVK:        kind.WithVersion(best),
		Resource:   schema.GroupVersionResource{Group: kind.Group, Version: best, Resource: d.crd.Status.AcceptedNames.Plural},
		Namespaced: d.crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
	}, nil
}

// isTaken says whether any definition had the group-version since the start: discovery lags behind the watch.
func (s *Schemas) isTaken(gv schema.GroupVersion) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()

	_, taken := s.taken[gv]

	return taken
}

// resource returns the kind in the most mature version of a group-version that is not left out.
func (d *discovered) resource(kind schema.GroupKind, out func(schema.GroupVersion) bool) (*graph.Kind, error) {
	d.asking.Lock()
	defer d.asking.Unlock()

	if best := d.best(kind, out); best != nil {
		return best, nil
	}

	if d.asked.IsZero() || d.clock.Since(d.asked) >= askAgain {
		if err := d.ask(); err != nil {
			return nil, err
		}
	}

	if best := d.best(kind, out); best != nil {
		return best, nil
	}

	for gv, err := range d.failed {
		if gv.Group == kind.Group {
			return nil, err
		}
	}

	return nil, &graph.UnknownKindError{GVK: kind.WithVersion("")}
}

func (d *discovered) best(kind schema.GroupKind, out func(schema.GroupVersion) bool) *graph.Kind {
	var best *graph.Kind

	for gvk, k := range d.served {
		if gvk.GroupKind() == kind && !out(gvk.GroupVersion()) && (best == nil || version.CompareKubeAwareVersionStrings(gvk.Version, best.GVK.Version) > 0) {
			best = k
		}
	}

	return best
}
