package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// refPrefix is what all references within a document begin with.
const refPrefix = "#/components/schemas/"

// quantity is how the names of all definitions of a Quantity end.
const quantity = ".api.resource.Quantity"

// alone is the depth of a definition that refers to none of those that are being resolved around it.
const alone = math.MaxInt

// Document holds the definitions of an OpenAPI v3 document. They are decoded when somebody asks for them, once. It is
// safe for concurrent use.
type Document struct {
	kinds map[schema.GroupVersionKind]string

	raw map[string]json.RawMessage

	mu       sync.Mutex
	answers  map[string]*spec.Schema // of kinds' definitions
	resolved map[string]*spec.Schema // of definitions without a cycle
}

// Parse reads an OpenAPI v3 document in JSON.
func Parse(document []byte) (*Document, error) {
	var found struct {
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(document, &found); err != nil {
		return nil, fmt.Errorf("read an OpenAPI document: %w", err)
	}

	kinds := map[schema.GroupVersionKind]string{}

	for _, name := range slices.Sorted(maps.Keys(found.Components.Schemas)) {
		var of struct {
			Kinds []schema.GroupVersionKind `json:"x-kubernetes-group-version-kind"`
		}
		if err := json.Unmarshal(found.Components.Schemas[name], &of); err != nil {
			return nil, fmt.Errorf("read the kinds of the definition %s: %w", name, err)
		}

		for _, gvk := range of.Kinds {
			kinds[gvk] = name
		}
	}

	return New(found.Components.Schemas, kinds), nil
}

// New returns a document of definitions by their names and the names of the kinds' definitions. It keeps both maps.
func New(definitions map[string]json.RawMessage, kinds map[schema.GroupVersionKind]string) *Document {
	return &Document{kinds: kinds, raw: definitions, answers: map[string]*spec.Schema{}, resolved: map[string]*spec.Schema{}}
}

// Definition is the name of a kind's definition; empty when the document has none.
func (d *Document) Definition(gvk schema.GroupVersionKind) string { return d.kinds[gvk] }

// Kind returns the schema of a kind without references; it is an error when the document has none. The same call
// returns the same pointer; nobody may change what it points to, as parts of it belong to other kinds too.
func (d *Document) Kind(gvk schema.GroupVersionKind) (*spec.Schema, error) {
	name := d.kinds[gvk]
	if name == "" {
		return nil, fmt.Errorf("look up the schema of %s: the document does not have it", gvk)
	}

	d.mu.Lock()
	defer d.mu.Unlock()

	if s := d.answers[name]; s != nil {
		return s, nil
	}

	s, _, err := d.resolve(name, nil)
	if err != nil {
		return nil, err
	}

	d.answers[name] = s

	return s, nil
}

// Decode decodes a definition and drops what only people read; its references are left as they are.
func (d *Document) Decode(name string) (*spec.Schema, error) {
	raw, ok := d.raw[name]
	if !ok {
		return nil, fmt.Errorf("look up the definition %s: the document does not have it", name)
	}

	s := &spec.Schema{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("read the definition %s: %w", name, err)
	}

	Bare(s)

	return s, nil
}

// resolve returns a definition whose references are replaced. Path has the definitions that are being resolved around
// it: a reference to one of them is a cycle, and is cut there. Where it is cut depends on where one came from, so only
// what has no cycle is kept for others; depth is the place in path of the highest that is reached from here.
func (d *Document) resolve(name string, path []string) (*spec.Schema, int, error) {
	if s := d.resolved[name]; s != nil {
		return s, alone, nil
	}

	if at := slices.Index(path, name); at >= 0 {
		return Any(), at, nil
	}

	s, err := d.Decode(name)
	if err != nil {
		return nil, 0, err
	}

	depth, err := d.replace(s, append(path, name))
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", name, err)
	}

	if strings.HasSuffix(name, quantity) {
		s.Format = FormatQuantity
	}

	switch {
	case depth == alone:
		d.resolved[name] = s
	case depth == len(path): // the cycle is within
		depth = alone
	}

	return s, depth, nil
}

// replace replaces the references in s and below it.
func (d *Document) replace(s *spec.Schema, path []string) (int, error) {
	depth := alone

	if name, ok := Reference(s); ok {
		target, reached, err := d.resolve(name, path)
		if err != nil {
			return 0, err
		}

		*s = overlay(*target, *s)

		return reached, nil
	}

	if s.Format == "int-or-string" {
		s.AddExtension(ExtensionIntOrString, true)
	}

	err := Each(s, func(child *spec.Schema) error {
		reached, err := d.replace(child, path)
		depth = min(depth, reached)

		return err
	})

	return depth, err
}

// Reference returns the name of the definition that s stands for: by a reference of its own or, since nothing else may
// stand beside one, by a reference as the only member of allOf.
func Reference(s *spec.Schema) (string, bool) {
	if name, ok := strings.CutPrefix(s.Ref.String(), refPrefix); ok {
		return name, true
	}

	if len(s.AllOf) == 1 {
		return strings.CutPrefix(s.AllOf[0].Ref.String(), refPrefix)
	}

	return "", false
}

// overlay is the target of a reference with what stands beside the reference.
func overlay(target, beside spec.Schema) spec.Schema {
	if beside.Default != nil {
		target.Default = beside.Default
	}

	target.Nullable = target.Nullable || beside.Nullable

	if len(beside.Extensions) > 0 {
		target.Extensions = maps.Clone(target.Extensions)
		for key, value := range beside.Extensions {
			target.AddExtension(key, value)
		}
	}

	return target
}
