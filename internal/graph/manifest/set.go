package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph"
	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
	"github.com/lockstep-dev/lockstep/internal/graph/openapi"
)

// KindDefinition is the kind of a document that is a definition, in any version of the group.
const KindDefinition = "ResourceGraphDefinition"

// Definition is a definition in a file, and what came of compiling it.
type Definition struct {
	*Document

	Definition *krov1alpha1.ResourceGraphDefinition
	// Graph is nil when there are problems that are no warnings.
	Graph *graph.Graph
	// Problems are what checking and compiling it has found.
	Problems []Problem

	state state
}

// state is how far a definition has come.
type state int

const (
	stateRead state = iota
	stateUnderWay
	stateDone
)

// Set is definitions that know each other's kinds.
type Set struct {
	// Definitions are in the order of their documents.
	Definitions []*Definition

	base    graph.Schemas
	options graph.Options
	kinds   map[schema.GroupVersionKind]*Definition
}

// NewSet compiles the definitions among the documents. Kinds that none of them makes are looked up in base. The schema
// is that of definitions themselves.
func NewSet(documents []*Document, s *apiextensionsv1.JSONSchemaProps, base graph.Schemas, o graph.Options) *Set {
	set := &Set{base: base, options: o, kinds: map[schema.GroupVersionKind]*Definition{}}

	for _, d := range documents {
		if d.Object.GetKind() == KindDefinition && d.Object.GroupVersionKind().Group == krov1alpha1.GroupVersion().Group {
			set.add(d, s)
		}
	}

	for _, d := range set.Definitions {
		set.compile(d)
	}

	return set
}

func (s *Set) add(document *Document, schema *apiextensionsv1.JSONSchemaProps) {
	d := &Definition{Document: document, Problems: document.Check(schema)}
	s.Definitions = append(s.Definitions, d)

	if version := krov1alpha1.GroupVersion().String(); document.Object.GetAPIVersion() != version {
		d.wrong(fieldpath.Errorf(fieldpath.Path{"apiVersion"}, "%s is not known: accepted is %s", document.Object.GetAPIVersion(), version))
	}

	if document.Object.GetName() == "" {
		d.wrong(fieldpath.Errorf(fieldpath.Path{"metadata", "name"}, "a definition needs a name"))
	}

	definition := &krov1alpha1.ResourceGraphDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(document.Object.Object, definition); err != nil {
		// The field that is of the wrong type is a problem already.
		if len(d.Problems) == 0 {
			d.wrong(fmt.Errorf("read the definition: %w", err))
		}

		d.state = stateDone

		return
	}

	if definition.Spec.Schema == nil {
		d.wrong(fieldpath.Errorf(fieldpath.Path{"spec", "schema"}, "a definition needs the schema of the kind that it makes"))

		d.state = stateDone

		return
	}

	// The server fills these in.
	if definition.Spec.Schema.Group == "" {
		definition.Spec.Schema.Group = krov1alpha1.GroupVersion().Group
	}

	if definition.Spec.Schema.Scope == "" {
		definition.Spec.Schema.Scope = krov1alpha1.ScopeNamespaced
	}

	d.Definition = definition

	made := d.kind()
	if other := s.kinds[made]; other != nil {
		d.wrong(fieldpath.Errorf(fieldpath.Path{"spec", "schema", "kind"}, "%s is also made by the definition %q", made.GroupKind(), other.Object.GetName()))

		return
	}

	s.kinds[made] = d
}

func (d *Definition) wrong(err error) { d.Problems = append(d.Problems, d.Document.Problems(err)...) }

// kind is that of the instances.
func (d *Definition) kind() schema.GroupVersionKind {
	s := d.Definition.Spec.Schema

	return schema.GroupVersionKind{Group: s.Group, Version: s.APIVersion, Kind: s.Kind}
}

// compile compiles a definition, once. What it uses of others is compiled first.
func (s *Set) compile(d *Definition) {
	if d.state != stateRead {
		return
	}

	d.state = stateUnderWay
	defer func() { d.state = stateDone }()

	known := len(d.Problems) > 0

	g, err := graph.Compile(d.Definition, s, s.options)
	if err != nil {
		d.wrong(err)

		return
	}

	for _, w := range g.Warnings {
		line, column := d.locate(w.Path, w.Expression, 0)
		message := w.Message

		if at := w.Path.String(); at != "" && !strings.Contains(message, at) {
			message = at + ": " + message
		}

		p := d.problem(line, column, message)
		p.Warning = true
		d.Problems = append(d.Problems, p)
	}

	if !known {
		d.Graph = g
	}
}

// Kind returns what is known of a kind: as one of the definitions makes it, else from the base.
func (s *Set) Kind(gvk schema.GroupVersionKind) (*graph.Kind, error) {
	d := s.kinds[gvk]
	if d == nil {
		return s.base.Kind(gvk)
	}

	if d.state == stateUnderWay {
		return nil, fmt.Errorf("%s is made by the definition %q, which needs this one first: neither can begin", gvk.Kind, d.Definition.Name)
	}

	s.compile(d)

	if d.Graph == nil {
		return nil, fmt.Errorf("%s is made by the definition %q, which has problems of its own", gvk.Kind, d.Definition.Name)
	}

	versions, err := openapi.Versions(d.Graph.CRD)
	if err != nil {
		return nil, fmt.Errorf("read what the definition %q makes: %w", d.Definition.Name, err)
	}

	for _, v := range versions {
		if v.GVK() == gvk {
			return v.Kind()
		}
	}

	return nil, &graph.UnknownKindError{GVK: gvk}
}

// Problems returns those of all definitions after the others.
func (s *Set) Problems(others ...Problem) []Problem {
	all := slices.Clone(others)
	for _, d := range s.Definitions {
		all = append(all, d.Problems...)
	}

	return all
}

// For returns the definition that makes a kind, nil for none.
func (s *Set) For(gvk schema.GroupVersionKind) *Definition { return s.kinds[gvk] }

// ErrNoDefinition says that there is no definition among the documents.
var ErrNoDefinition = errors.New("no " + KindDefinition + " of kro.run/v1alpha1")
