package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
)

// Check compares the document's fields with the schema of its kind: fields that the kind does not have, values of
// another type, and values that are not among those accepted. What the kind leaves open is not looked at.
func (d *Document) Check(s *apiextensionsv1.JSONSchemaProps) []Problem {
	root := *s
	root.Properties = maps.Clone(s.Properties)
	// The server knows the rest of the metadata; it is not a definition's own.
	root.Properties["metadata"] = apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}

	return d.check(d.root, d.root, &root, nil)
}

func (d *Document) check(key, n *yamlv3.Node, s *apiextensionsv1.JSONSchemaProps, path fieldpath.Path) []Problem {
	if n.Kind == yamlv3.AliasNode {
		n = n.Alias
	}

	if n.Tag == "!!null" {
		return nil
	}

	if kind := typeOf(n); s.Type != "" && kind != s.Type && (s.Type != "number" || kind != "integer") {
		at := n
		if n.Kind != yamlv3.ScalarNode {
			at = key
		}

		return []Problem{d.problem(at.Line, at.Column, fmt.Sprintf("%s: expected %s, got %s", path, s.Type, kind))}
	}

	switch n.Kind {
	case yamlv3.MappingNode:
		return d.checkFields(n, s, path)
	case yamlv3.SequenceNode:
		return d.checkElements(n, s, path)
	case yamlv3.ScalarNode:
		return d.checkScalar(n, s, path)
	case yamlv3.DocumentNode, yamlv3.AliasNode:
	}

	return nil
}

func (d *Document) checkFields(n *yamlv3.Node, s *apiextensionsv1.JSONSchemaProps, path fieldpath.Path) []Problem {
	var problems []Problem

	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := path.Child(key.Value)

		field, known := s.Properties[key.Value]

		switch {
		case known:
		case s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil:
			field = *s.AdditionalProperties.Schema
		case key.Value == "<<", s.XPreserveUnknownFields != nil && *s.XPreserveUnknownFields, len(s.Properties) == 0:
			continue
		default:
			problems = append(problems, d.problem(key.Line, key.Column, fmt.Sprintf("%s: unknown field%s", at, nearest(key.Value, s))))

			continue
		}

		problems = append(problems, d.check(key, value, &field, at)...)
	}

	return problems
}

func (d *Document) checkElements(n *yamlv3.Node, s *apiextensionsv1.JSONSchemaProps, path fieldpath.Path) []Problem {
	if s.Items == nil || s.Items.Schema == nil {
		return nil
	}

	var problems []Problem
	for i, element := range n.Content {
		problems = append(problems, d.check(element, element, s.Items.Schema, path.Child(i))...)
	}

	return problems
}

func (d *Document) checkScalar(n *yamlv3.Node, s *apiextensionsv1.JSONSchemaProps, path fieldpath.Path) []Problem {
	accepted := make([]string, len(s.Enum))

	for i, value := range s.Enum {
		accepted[i] = strings.Trim(string(value.Raw), `"`)
	}

	if len(accepted) == 0 || slices.Contains(accepted, n.Value) {
		return nil
	}

	return []Problem{d.problem(n.Line, n.Column, fmt.Sprintf("%s: %q is not known: accepted are %s", path, n.Value, strings.Join(accepted, ", ")))}
}

// typeOf is the JSON type of a node.
func typeOf(n *yamlv3.Node) string {
	switch n.Kind {
	case yamlv3.MappingNode:
		return "object"
	case yamlv3.SequenceNode:
		return "array"
	case yamlv3.DocumentNode, yamlv3.ScalarNode, yamlv3.AliasNode:
	}

	switch n.Tag {
	case "!!bool":
		return "boolean"
	case "!!int":
		return "integer"
	case "!!float":
		return "number"
	}

	return "string"
}

// nearest suggests the field that was probably meant, or lists those that there are.
func nearest(key string, s *apiextensionsv1.JSONSchemaProps) string {
	names := slices.Sorted(maps.Keys(s.Properties))
	best, distance := "", 3 // more than two letters apart is another word

	for _, name := range names {
		if d := letters(strings.ToLower(key), strings.ToLower(name)); d < distance {
			best, distance = name, d
		}
	}

	if best != "" {
		return fmt.Sprintf(": did you mean %q?", best)
	}

	return ": accepted are " + strings.Join(names, ", ")
}

// letters counts the letters to put in, take out or replace to make one word of another.
func letters(one, other string) int {
	row := make([]int, len(other)+1)
	for j := range row {
		row[j] = j
	}

	for i := range len(one) {
		diagonal := row[0]
		row[0] = i + 1

		for j := range len(other) {
			cost := diagonal
			if one[i] != other[j] {
				cost++
			}

			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}

	return row[len(other)]
}
