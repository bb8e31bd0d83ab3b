package builtin

import (
	"bytes"
	"compress/gzip"
	_ "embed" // for the embedded schemas
	"encoding/json"
	"fmt"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/openapi"
)

//go:embed schemas.json.gz
var embedded []byte

// content is what is embedded, as JSON in gzip.
type content struct {
	// Kinds has the resources by apiVersion and kind.
	Kinds map[string]map[string]resource `json:"kinds"`
	// Definitions are shared by all kinds and refer to each other.
	Definitions map[string]json.RawMessage `json:"definitions"`
}

// resource is how a kind is served.
type resource struct {
	Plural     string `json:"plural"`
	Namespaced bool   `json:"namespaced,omitempty"`
	Definition string `json:"definition"`
}

// Schemas knows the built-in kinds and those of CustomResourceDefinitions. It is safe for concurrent use.
type Schemas struct {
	custom map[schema.GroupVersionKind]*openapi.Version
	failed error

	once     sync.Once
	document *openapi.Document
	err      error

	mu    sync.Mutex
	kinds map[schema.GroupVersionKind]*graph.Kind // built-in kinds; without a schema until somebody asks for it
}

var _ graph.Schemas = (*Schemas)(nil)

// New returns the schemas of the built-in kinds and of all served versions of the definitions. Of several definitions
// of a kind the last counts; a definition comes before a built-in kind. A definition that cannot be read is told by
// [Schemas.Kind].
func New(crds ...*apiextensionsv1.CustomResourceDefinition) *Schemas {
	s := &Schemas{
		custom: map[schema.GroupVersionKind]*openapi.Version{},
		kinds:  map[schema.GroupVersionKind]*graph.Kind{},
	}

	for _, crd := range crds {
		versions, err := openapi.Versions(crd)
		if err != nil {
			s.failed = err
		}

		for _, version := range versions {
			s.custom[version.GVK()] = version
		}
	}

	return s
}

// Kind returns what is known of a kind, and [*graph.UnknownKindError] for one that is neither built in nor defined.
func (s *Schemas) Kind(gvk schema.GroupVersionKind) (*graph.Kind, error) {
	if s.failed != nil {
		return nil, s.failed
	}

	if version := s.custom[gvk]; version != nil {
		return version.Kind()
	}

	// Only now: whoever asks for defined kinds alone does not pay for the built-in ones.
	s.once.Do(func() { s.err = s.load() })

	if s.err != nil {
		return nil, s.err
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	kind := s.kinds[gvk]
	if kind == nil {
		return nil, &graph.UnknownKindError{GVK: gvk}
	}

	if kind.Schema != nil {
		return kind, nil
	}

	return s.describe(kind)
}

// describe returns the kind with its schema, and keeps it so.
func (s *Schemas) describe(kind *graph.Kind) (*graph.Kind, error) {
	described := *kind

	var err error
	if described.Schema, err = s.document.Kind(kind.GVK); err != nil {
		return nil, fmt.Errorf("read the embedded schema of %s: %w", kind.GVK, err)
	}

	s.kinds[kind.GVK] = &described

	return &described, nil
}

func (s *Schemas) load() error {
	reader, err := gzip.NewReader(bytes.NewReader(embedded))
	if err != nil {
		return fmt.Errorf("unpack the embedded schemas: %w", err)
	}

	var c content
	if err := json.NewDecoder(reader).Decode(&c); err != nil {
		return fmt.Errorf("read the embedded schemas: %w", err)
	}

	definitions := map[schema.GroupVersionKind]string{}

	for apiVersion, kinds := range c.Kinds {
		gv, err := schema.ParseGroupVersion(apiVersion)
		if err != nil {
			return fmt.Errorf("read the embedded schemas: %w", err)
		}

		for name, r := range kinds {
			gvk := gv.WithKind(name)
			definitions[gvk] = r.Definition
			s.kinds[gvk] = &graph.Kind{GVK: gvk, Resource: gv.WithResource(r.Plural), Namespaced: r.Namespaced}
		}
	}

	s.document = openapi.New(c.Definitions, definitions)

	return nil
}
