package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/lockstep-dev/lockstep/internal/graph"
)

// Version is what a CustomResourceDefinition says of one kind in one version. Its schema is decoded when somebody asks
// for it, once. It is safe for concurrent use.
type Version struct {
	kind graph.Kind // without its schema
	raw  []byte     // the schema in JSON: smaller by far than as values, and as good to compare

	once   sync.Once
	result *graph.Kind
	err    error
}

// Versions returns what a CustomResourceDefinition says of the versions that it serves.
func Versions(crd *apiextensionsv1.CustomResourceDefinition) ([]*Version, error) {
	var versions []*Version

	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		if !v.Served {
			continue
		}

		version := &Version{kind: graph.Kind{
			GVK:        schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: KindOf(crd)},
			Resource:   schema.GroupVersionResource{Group: crd.Spec.Group, Version: v.Name, Resource: crd.Spec.Names.Plural},
			Namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
		}}

		if v.Schema != nil && v.Schema.OpenAPIV3Schema != nil {
			raw, err := json.Marshal(bare(*v.Schema.OpenAPIV3Schema))
			if err != nil {
				return nil, fmt.Errorf("write the schema of version %s of %s: %w", v.Name, crd.Name, err)
			}

			version.raw = raw
		}

		versions = append(versions, version)
	}

	return versions, nil
}

// KindOf returns the kind under which the server serves a definition: the one that it accepted, which lags behind the
// wanted one while the names collide with another definition's.
func KindOf(crd *apiextensionsv1.CustomResourceDefinition) string {
	if accepted := crd.Status.AcceptedNames.Kind; accepted != "" {
		return accepted
	}

	return crd.Spec.Names.Kind
}

// GVK is the kind.
func (v *Version) GVK() schema.GroupVersionKind { return v.kind.GVK }

// Same tells whether both say the same of the same kind.
func (v *Version) Same(other *Version) bool {
	return v.kind == other.kind && bytes.Equal(v.raw, other.raw)
}

// Kind returns what the definition says of the kind, the same pointer each time.
func (v *Version) Kind() (*graph.Kind, error) {
	v.once.Do(func() {
		s := Any()

		if v.raw != nil {
			s = &spec.Schema{}
			if v.err = json.Unmarshal(v.raw, s); v.err != nil {
				v.err = fmt.Errorf("read the schema of %s: %w", v.kind.GVK, v.err)

				return
			}
		}

		complete(s, v.kind.GVK)

		kind := v.kind
		kind.Schema, v.result = s, &kind
	})

	return v.result, v.err
}

// complete adds what the server takes for granted in every object.
func complete(s *spec.Schema, gvk schema.GroupVersionKind) {
	for name, kind := range map[string]string{"apiVersion": "string", "kind": "string", "metadata": "object"} {
		if _, ok := s.Properties[name]; !ok {
			s.SetProperty(name, spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{kind}}})
		}
	}

	s.AddExtension(ExtensionKinds, []any{
		map[string]any{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind},
	})
}

// bare returns the schema without what only people read; the one given is left as it is.
func bare(p apiextensionsv1.JSONSchemaProps) apiextensionsv1.JSONSchemaProps {
	p.Description, p.Title, p.Example, p.ExternalDocs, p.ID, p.Schema = "", "", nil, nil, "", ""
	p.Properties, p.PatternProperties = bareMap(p.Properties), bareMap(p.PatternProperties)
	p.Definitions = bareMap(p.Definitions)
	p.AllOf, p.AnyOf, p.OneOf = bareList(p.AllOf), bareList(p.AnyOf), bareList(p.OneOf)
	p.Not = barePointer(p.Not)

	if p.AdditionalProperties != nil {
		additional := *p.AdditionalProperties
		additional.Schema = barePointer(additional.Schema)
		p.AdditionalProperties = &additional
	}

	if p.Items != nil {
		p.Items = &apiextensionsv1.JSONSchemaPropsOrArray{
			Schema: barePointer(p.Items.Schema), JSONSchemas: bareList(p.Items.JSONSchemas),
		}
	}

	return p
}

func barePointer(p *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	if p == nil {
		return nil
	}

	return new(bare(*p))
}

func bareList(list []apiextensionsv1.JSONSchemaProps) []apiextensionsv1.JSONSchemaProps {
	var result []apiextensionsv1.JSONSchemaProps
	for _, p := range list {
		result = append(result, bare(p))
	}

	return result
}

func bareMap(children map[string]apiextensionsv1.JSONSchemaProps) map[string]apiextensionsv1.JSONSchemaProps {
	if children == nil {
		return nil
	}

	result := make(map[string]apiextensionsv1.JSONSchemaProps, len(children))
	for name, p := range children {
		result[name] = bare(p)
	}

	return result
}
