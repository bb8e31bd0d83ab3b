package crd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Breaking says, in sentences with paths, which changes from an old to a wanted CustomResourceDefinition of the same
// kind could make existing instances, or those who write or read them, fail. They are sorted; none means that nothing
// breaks. The fields of the status that [Build] adds by itself do not count.
func Breaking(old, wanted *apiextensionsv1.CustomResourceDefinition) []string {
	var c comparison

	for i := range wanted.Spec.Versions {
		after := &wanted.Spec.Versions[i]
		before, now := schemaOf(old, after.Name), schemaOf(wanted, after.Name)

		if before == nil || now == nil {
			continue
		}

		for _, part := range []string{"spec", "status"} {
			was, is := before.Properties[part], now.Properties[part]

			if part == "status" {
				was.Properties = maps.Clone(was.Properties)
				delete(was.Properties, stateField)
				delete(was.Properties, conditionsField)
			}

			c.schema(part, &was, &is)
		}
	}

	slices.Sort(c.found)

	return c.found
}

// schemaOf returns the schema of a version, or of the stored version if that one is not there.
func schemaOf(crd *apiextensionsv1.CustomResourceDefinition, version string) *apiextensionsv1.JSONSchemaProps {
	versions := crd.Spec.Versions

	i := slices.IndexFunc(versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == version })
	if i < 0 {
		i = slices.IndexFunc(versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Storage })
	}

	if i < 0 || versions[i].Schema == nil {
		return nil
	}

	return versions[i].Schema.OpenAPIV3Schema
}

// comparison collects what breaks.
type comparison struct {
	found []string
}

func (c *comparison) addf(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

// schema compares what is at a path, and everything below.
func (c *comparison) schema(path string, was, is *apiextensionsv1.JSONSchemaProps) {
	if was.Type != is.Type {
		c.addf("%s: type changed from %s to %s", path, spelt(was.Type), spelt(is.Type))

		return
	}

	c.properties(path, was, is)
	c.required(path, was, is)
	c.enum(path, was.Enum, is.Enum)

	switch {
	case is.Pattern == "" || is.Pattern == was.Pattern:
	case was.Pattern == "":
		c.addf("%s: pattern %s added", path, is.Pattern)
	default:
		c.addf("%s: pattern changed from %s to %s", path, was.Pattern, is.Pattern)
	}

	tighter(c, path, "minimum", was.Minimum, is.Minimum, 1)
	tighter(c, path, "maximum", was.Maximum, is.Maximum, -1)
	tighter(c, path, "minLength", was.MinLength, is.MinLength, 1)
	tighter(c, path, "maxLength", was.MaxLength, is.MaxLength, -1)
	tighter(c, path, "minItems", was.MinItems, is.MinItems, 1)
	tighter(c, path, "maxItems", was.MaxItems, is.MaxItems, -1)

	c.elements(path+"[*]", itemsOf(was), itemsOf(is))
	c.elements(path+".*", valuesOf(was), valuesOf(is))
}

func spelt(name string) string {
	return cmp.Or(name, "any")
}

func (c *comparison) properties(path string, was, is *apiextensionsv1.JSONSchemaProps) {
	for name, before := range was.Properties {
		after, there := is.Properties[name]
		if !there {
			c.addf("%s.%s: property removed", path, name)

			continue
		}

		c.schema(path+"."+name, &before, &after)
	}
}

func (c *comparison) required(path string, was, is *apiextensionsv1.JSONSchemaProps) {
	for _, name := range is.Required {
		if is.Properties[name].Default != nil {
			continue
		}

		switch {
		case !slices.Contains(was.Required, name):
			c.addf("%s.%s: newly required, without a default", path, name)
		case was.Properties[name].Default != nil:
			c.addf("%s.%s: default removed from a required property", path, name)
		}
	}
}

// enum compares values. A field that had none may get some.
func (c *comparison) enum(path string, was, is []apiextensionsv1.JSON) {
	if len(is) == 0 {
		return
	}

	for _, value := range was {
		if !slices.ContainsFunc(is, func(v apiextensionsv1.JSON) bool { return equal(v, value) }) {
			c.addf("%s: enum value %s removed", path, value.Raw)
		}
	}
}

func equal(a, b apiextensionsv1.JSON) bool {
	x, err := canonical(a)
	if err != nil {
		return false
	}

	y, err := canonical(b)

	return err == nil && string(x) == string(y)
}

// elements compares what is in a list or a map. One that had no schema may get one.
func (c *comparison) elements(path string, was, is *apiextensionsv1.JSONSchemaProps) {
	switch {
	case was == nil:
	case is == nil:
		c.addf("%s: schema of the elements removed", path)
	default:
		c.schema(path, was, is)
	}
}

func itemsOf(s *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	if s.Items == nil {
		return nil
	}

	return s.Items.Schema
}

func valuesOf(s *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	if s.AdditionalProperties == nil {
		return nil
	}

	return s.AdditionalProperties.Schema
}

// tighter compares a bound. The sign is 1 for a lower bound, where more is tighter, and -1 for an upper one.
func tighter[T int64 | float64](c *comparison, path, name string, was, is *T, sign int) {
	switch {
	case is == nil:
	case was == nil:
		c.addf("%s: %s %s added", path, name, number(*is))
	case cmp.Compare(*is, *was) == sign:
		c.addf("%s: %s tightened from %s to %s", path, name, number(*was), number(*is))
	}
}

func number[T int64 | float64](n T) string {
	return strconv.FormatFloat(float64(n), 'f', -1, 64)
}
