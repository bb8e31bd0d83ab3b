package source

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/openapi"
)

// errNotListed is the answer before the definitions are known: any other could turn out wrong a moment later.
var errNotListed = errors.New("the CustomResourceDefinitions have not been listed yet")

// SchemasOptions say where [Schemas] learn the kinds of a cluster. All fields are required.
type SchemasOptions struct {
	// Client watches the CustomResourceDefinitions; its scheme knows them.
	Client client.WithWatch
	// Discovery asks the server for the other kinds. Its timeout bounds how long [Schemas.Kind] takes.
	Discovery discovery.DiscoveryInterface
	Clock     clock.PassiveClock
	// Ours tells which definitions are kept whole, for [Schemas.CRD].
	Ours func(*apiextensionsv1.CustomResourceDefinition) bool
	// Changed is told about kinds whose definition appeared, became established, says something else of the kind, or
	// went; for our own definitions any change of the spec, the labels or the annotations counts, and so do names that
	// are refused, becoming ours and no longer being so. It runs on the informer's goroutine, also for what the first
	// list finds, or on the one of [Schemas.Put]: it must not block.
	Changed func([]schema.GroupKind)
	Log     logr.Logger
}

// Schemas knows the kinds that the server serves: those of CustomResourceDefinitions as soon as they are established,
// from a watch; others, when somebody asks for them, from the server's discovery and OpenAPI documents. A kind that an
// aggregated server begins to serve is found when it is asked for again. It is safe for concurrent use.
type Schemas struct {
	options  SchemasOptions
	informer *Informer[definition]
	others   *discovered

	mu          sync.RWMutex
	definitions map[string]*definition
	kinds       map[schema.GroupKind]*definition // the established ones
	// taken has the group-versions that any definition had since the start. The server's discovery is not asked for
	// them: it lags behind the watch.
	taken map[schema.GroupVersion]struct{}
	// gone has the definitions that were seen deleted, so that a late answer to a write does not bring one back.
	gone map[types.UID]struct{}
	// listed is the version of the last list. What it lacks and is not newer is gone, whoever brings it.
	listed string
}

// definition is what is kept of a CustomResourceDefinition. It is never changed once it is kept.
type definition struct {
	crd         *apiextensionsv1.CustomResourceDefinition
	ours        bool
	established bool
	kind        schema.GroupKind
	versions    map[string]*openapi.Version
	err         error // why versions are missing
	// written is set for the answer to an own write that the watch has not brought yet.
	written bool
}

var _ graph.Schemas = (*Schemas)(nil)

// NewSchemas returns schemas that know nothing until they are started.
func NewSchemas(o SchemasOptions) *Schemas {
	s := &Schemas{
		options:     o,
		others:      newDiscovered(o.Discovery, o.Clock),
		definitions: map[string]*definition{},
		kinds:       map[schema.GroupKind]*definition{},
		taken:       map[schema.GroupVersion]struct{}{},
		gone:        map[types.UID]struct{}{},
	}
	s.informer = NewInformer(Options[definition]{
		Client:  o.Client,
		Object:  &apiextensionsv1.CustomResourceDefinition{},
		List:    &apiextensionsv1.CustomResourceDefinitionList{},
		Strip:   s.strip,
		Changed: s.observe,
		Log:     o.Log,
	})

	return s
}

// Start watches the CustomResourceDefinitions until the context ends.
func (s *Schemas) Start(ctx context.Context) {
	i := s.informer
	follow(ctx, i.listWatch(), i.options.Object, "CustomResourceDefinition", listing{Informer: i, schemas: s}, i.options.Log)
}

// listing tells the schemas when a list is complete.
type listing struct {
	*Informer[definition]

	schemas *Schemas
}

// Replace compares a complete list with what is kept.
func (l listing) Replace(objs []any, version string) error {
	err := l.Informer.Replace(objs, version)
	l.schemas.complete(version)

	return err
}

// Synced is closed once the definitions have been listed; before, [Schemas.Kind] knows nothing.
func (s *Schemas) Synced() <-chan struct{} { return s.informer.Synced() }

// Kind returns what is known of a kind, and [*graph.UnknownKindError] for one that nobody serves; another error is
// worth asking again. It talks to the server at most once for each kind that is served, and once every few seconds for
// all that are not.
func (s *Schemas) Kind(gvk schema.GroupVersionKind) (*graph.Kind, error) {
	select {
	case <-s.Synced():
	default:
		return nil, errNotListed
	}

	s.mu.RLock()
	d := s.kinds[gvk.GroupKind()]
	_, taken := s.taken[gvk.GroupVersion()]
	s.mu.RUnlock()

	if d != nil {
		if d.err != nil {
			return nil, d.err
		}

		if version := d.versions[gvk.Version]; version != nil {
			return version.Kind()
		}
	}

	if taken {
		return nil, &graph.UnknownKindError{GVK: gvk}
	}

	return s.others.kind(gvk)
}

// CRD returns the definition of that name as last seen. It is shared: nobody may change it. One that is not ours lacks
// the schemas of its versions.
func (s *Schemas) CRD(name string) (*apiextensionsv1.CustomResourceDefinition, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()

	d := s.definitions[name]
	if d == nil {
		return nil, false
	}

	return d.crd, true
}

// Put takes the server's answer to an own write of a definition, so that nobody needs to wait until the watch brings
// it. An answer older than what is known is ignored. The definition must not be changed afterwards.
func (s *Schemas) Put(crd *apiextensionsv1.CustomResourceDefinition) {
	d := s.strip(crd)
	d.written = true

	var changed []schema.GroupKind

	s.mu.Lock()

	newer := precedes(s.listed, crd.ResourceVersion)
	if former := s.definitions[crd.Name]; former != nil {
		newer = precedes(former.crd.ResourceVersion, crd.ResourceVersion)
	}

	if _, gone := s.gone[crd.UID]; newer && !gone {
		changed = s.store(d)
	}

	s.mu.Unlock()
	s.tell(changed)
}

// observe takes what the watch brings.
func (s *Schemas) observe(c Change[definition]) {
	var changed []schema.GroupKind

	s.mu.Lock()

	if c.Old != nil && (c.New == nil || c.New.crd.UID != c.Old.crd.UID) {
		s.gone[c.Old.crd.UID] = struct{}{}

		if current := s.definitions[c.Key.Name]; current != nil && current.crd.UID == c.Old.crd.UID {
			changed = s.forget(current)
		}
	}

	// Only the answer to an own write may be newer than what the watch brings.
	if d := c.New; d != nil {
		if former := s.definitions[c.Key.Name]; former == nil || !former.written || !precedes(d.crd.ResourceVersion, former.crd.ResourceVersion) {
			changed = append(changed, s.store(d)...)
		}
	}

	s.mu.Unlock()
	s.tell(changed)
}

// complete takes note of a list that has been compared. An own write that it does not have, and that is not newer, was
// undone while nobody watched.
func (s *Schemas) complete(version string) {
	var changed []schema.GroupKind

	s.mu.Lock()
	s.listed = version

	for _, d := range s.definitions {
		if d.written && !precedes(version, d.crd.ResourceVersion) {
			changed = append(changed, s.forget(d)...)
		}
	}
	s.mu.Unlock()
	s.tell(changed)
}

func (s *Schemas) tell(changed []schema.GroupKind) {
	if len(changed) > 0 {
		s.options.Changed(changed)
	}
}

// strip makes of a definition what is kept of it.
func (s *Schemas) strip(obj client.Object) *definition {
	crd, ok := obj.(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		return nil
	}

	d := &definition{
		crd:         crd,
		ours:        s.options.Ours(crd),
		established: established(crd),
		kind:        schema.GroupKind{Group: crd.Spec.Group, Kind: openapi.KindOf(crd)},
		versions:    map[string]*openapi.Version{},
	}

	versions, err := openapi.Versions(crd)
	d.err = err

	for _, version := range versions {
		d.versions[version.GVK().Version] = version
	}

	if !d.ours {
		d.crd = withoutSchemas(crd)
	}

	return d
}

// withoutSchemas returns a copy that is small: a cluster may have hundreds of definitions that nobody here uses.
func withoutSchemas(crd *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.CustomResourceDefinition {
	small := *crd
	small.ManagedFields = nil
	small.Annotations = maps.Clone(crd.Annotations)
	// The whole definition again, for those who apply it on the client's side.
	delete(small.Annotations, "kubectl.kubernetes.io/last-applied-configuration")

	small.Spec.Versions = slices.Clone(crd.Spec.Versions)
	for i := range small.Spec.Versions {
		small.Spec.Versions[i].Schema = nil
	}

	return &small
}

// store keeps a definition and returns the kinds of which something else is known now. What is said of a version as
// before stays the same value, and with it the pointer to the version's schema.
func (s *Schemas) store(d *definition) []schema.GroupKind {
	for i := range d.crd.Spec.Versions {
		s.taken[schema.GroupVersion{Group: d.kind.Group, Version: d.crd.Spec.Versions[i].Name}] = struct{}{}
	}

	former := s.definitions[d.crd.Name]
	if former != nil {
		for name, version := range d.versions {
			if before := former.versions[name]; before != nil && before.Same(version) {
				d.versions[name] = before
			}
		}
	}

	if former != nil && s.kinds[former.kind] == former {
		delete(s.kinds, former.kind)
	}

	s.definitions[d.crd.Name] = d

	if d.established {
		s.kinds[d.kind] = d
	}

	switch {
	case former == nil:
		return []schema.GroupKind{d.kind}
	case former.kind != d.kind:
		return []schema.GroupKind{former.kind, d.kind}
	case saysSame(former, d):
		return nil
	}

	return []schema.GroupKind{d.kind}
}

// forget drops a definition and returns its kind.
func (s *Schemas) forget(d *definition) []schema.GroupKind {
	delete(s.definitions, d.crd.Name)

	if s.kinds[d.kind] == d {
		delete(s.kinds, d.kind)
	}

	return []schema.GroupKind{d.kind}
}

// saysSame tells whether two states of a definition of a kind say the same of it.
func saysSame(a, b *definition) bool {
	if a.established != b.established || a.ours != b.ours || !maps.Equal(a.versions, b.versions) {
		return false
	}

	return !a.ours || apiequality.Semantic.DeepEqual(a.crd.Spec, b.crd.Spec) &&
		maps.Equal(a.crd.Labels, b.crd.Labels) && maps.Equal(a.crd.Annotations, b.crd.Annotations) &&
		refusal(a.crd) == refusal(b.crd)
}

// refusal is why the server does not take a definition's names; empty when it does, or has not said yet.
func refusal(crd *apiextensionsv1.CustomResourceDefinition) string {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.NamesAccepted && c.Status == apiextensionsv1.ConditionFalse {
			return c.Message
		}
	}

	return ""
}

// precedes tells whether a is an older version than b. Anything is newer than no version.
func precedes(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)

	return a == "" || err == nil && order < 0
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	return slices.ContainsFunc(crd.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool {
		return c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue
	})
}
