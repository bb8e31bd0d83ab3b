package apply

import (
	"cmp"
	"encoding/base64"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// What a schema says of a value that has more than one notation. The format is that of schemas resolved by
// internal/graph/openapi: with its references a schema loses the name Quantity.
const (
	formatQuantity = "quantity"
	intOrString    = "x-kubernetes-int-or-string"
)

// Carries says whether a live object still carries everything of the desired one, so that applying it would change
// nothing but what others have added. The schema is that of the kind; without one, and below a field that it does not
// know, every list is compared index by index.
//
//   - A map carries every desired key. One of free keys that is part of an atomic value carries no other.
//   - A list is compared by its list type: a set contains every desired value, a map an item with the same keys for
//     every desired item; any other has as many items, which carry the desired ones one by one.
//   - Numbers are the same by value (1 and 1.0), and so are quantities ("0.5" and "500m") and moments in time, where the
//     schema says that they are.
//   - What is empty is carried where nothing is: null, a map or a list without items and, for the kinds that are built
//     in, also fields that are false, 0 or "": the server leaves these out. Such a "" is carried by any value: it asks for a default.
//   - A Secret's stringData is looked for in its data.
//
// The status is not compared: applying an object does not write it.
func Carries(live, desired map[string]any, s *spec.Schema) bool {
	apiVersion, _ := desired["apiVersion"].(string)
	group, _, grouped := strings.Cut(apiVersion, "/")
	c := comparison{native: !grouped || !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")}

	if desired["kind"] == "Secret" && !grouped {
		desired = encoded(desired)
	}

	for key, value := range desired {
		if key != "status" && !c.field(live, key, value, s, false) {
			return false
		}
	}

	return true
}

// encoded returns the Secret as the server keeps it.
func encoded(secret map[string]any) map[string]any {
	plain, _ := secret["stringData"].(map[string]any)
	if len(plain) == 0 {
		return secret
	}

	former, _ := secret["data"].(map[string]any)
	data := make(map[string]any, len(former)+len(plain))
	maps.Copy(data, former)

	for key, value := range plain {
		text, _ := value.(string)
		data[key] = base64.StdEncoding.EncodeToString([]byte(text))
	}

	secret = maps.Clone(secret)
	secret["data"] = data
	delete(secret, "stringData")

	return secret
}

// comparison compares values of one object.
type comparison struct {
	// native is set for a built-in kind: the server decodes it into a Go type, which drops what is empty.
	native bool
}

// field says whether a desired field is carried. Atomic is set inside a value that is replaced as a whole.
func (c comparison) field(live map[string]any, key string, desired any, of *spec.Schema, atomic bool) bool {
	value, there := live[key]
	if !there || value == nil {
		return c.nothing(desired, below(of, key), c.drops(of, key))
	}

	if desired == "" && c.drops(of, key) {
		return true
	}

	return c.value(value, desired, below(of, key), atomic)
}

// drops says whether the server leaves a field out that is empty. A free key, such as that of a label, is not a field.
func (c comparison) drops(of *spec.Schema, key string) bool {
	if of == nil || !c.native {
		return false
	}

	_, declared := of.Properties[key]

	return declared
}

// nothing says whether a desired value is carried where nothing is. Dropped is set for a field that the server leaves
// out when it is empty.
func (c comparison) nothing(desired any, s *spec.Schema, dropped bool) bool {
	switch d := desired.(type) {
	case nil:
		return true
	case map[string]any:
		for key, value := range d {
			if !c.nothing(value, below(s, key), c.drops(s, key)) {
				return false
			}
		}

		return len(d) == 0 || c.native
	case []any:
		return len(d) == 0
	default:
		return dropped && reflect.ValueOf(d).IsZero()
	}
}

func (c comparison) value(live, desired any, s *spec.Schema, atomic bool) bool {
	switch d := desired.(type) {
	case nil:
		return true
	case map[string]any:
		l, ok := live.(map[string]any)

		return ok && c.mapping(l, d, s, atomic)
	case []any:
		l, ok := live.([]any)

		return ok && c.list(l, d, s, atomic)
	default:
		return scalar(live, desired, s)
	}
}

func (c comparison) mapping(live, desired map[string]any, s *spec.Schema, atomic bool) bool {
	atomic = atomic || extension(s, "x-kubernetes-map-type") == "atomic"

	// The fields of an atomic value may have defaults; free keys have none.
	if atomic && s != nil && len(s.Properties) == 0 && s.AdditionalProperties != nil && len(live) > len(desired) {
		return len(desired) == 0
	}

	for key, value := range desired {
		if !c.field(live, key, value, s, atomic) {
			return false
		}
	}

	return true
}

func (c comparison) list(live, desired []any, s *spec.Schema, atomic bool) bool {
	items := itemsOf(s)

	switch extension(s, "x-kubernetes-list-type") {
	case "set":
		return c.contains(live, desired, func(l, d any) bool { return c.value(l, d, items, atomic) })
	case "map":
		keys := keysOf(s)

		return c.contains(live, desired, func(l, d any) bool {
			return c.identical(l, d, keys, items) && c.value(l, d, items, atomic)
		})
	default:
		return slices.EqualFunc(live, desired, func(l, d any) bool { return c.value(l, d, items, true) })
	}
}

func (comparison) contains(live, desired []any, is func(live, desired any) bool) bool {
	for n, d := range desired {
		// Mostly it is where it was.
		found := n < len(live) && is(live[n], d) || slices.ContainsFunc(live, func(l any) bool { return is(l, d) })
		if !found {
			return false
		}
	}

	return true
}

// identical says whether two items of a list of the type map have the same keys. One that is not desired is the
// default of the schema, or any where there is none.
func (comparison) identical(live, desired any, keys []string, items *spec.Schema) bool {
	l, _ := live.(map[string]any)
	d, _ := desired.(map[string]any)

	for _, key := range keys {
		property := below(items, key)
		has, want := l[key], d[key]

		if property != nil {
			has, want = cmp.Or(has, property.Default), cmp.Or(want, property.Default)
		}

		if want != nil && !scalar(has, want, property) {
			return false
		}
	}

	return true
}

func scalar(live, desired any, s *spec.Schema) bool {
	if live == desired {
		return true
	}

	l, one := number(live)
	d, other := number(desired)

	if one && other {
		return l == d
	}

	return isQuantity(s) && sameQuantity(live, desired) || s != nil && s.Format == "date-time" && sameTime(live, desired)
}

// number reads what a decoder makes of a number. A whole one that a float64 can not tell from its neighbours does not
// come in two notations.
func number(value any) (float64, bool) {
	switch v := value.(type) {
	case int64:
		return float64(v), v == int64(float64(v))
	case float64:
		return v, true
	default:
		return 0, false
	}
}

// isQuantity says whether a schema is that of a quantity: a built-in kind's says so by its format, a custom one's by a
// pattern for what may be an integer or a string. Without a pattern that is a port or a number of pods, where 80 and
// "80" are two different things.
func isQuantity(s *spec.Schema) bool {
	if s == nil {
		return false
	}

	either, _ := s.Extensions[intOrString].(bool)

	return s.Format == formatQuantity || either && s.Pattern != ""
}

func sameQuantity(live, desired any) bool {
	l, ok := quantity(live)
	if !ok {
		return false
	}

	d, ok := quantity(desired)

	return ok && l.Cmp(d) == 0
}

func quantity(value any) (resource.Quantity, bool) {
	text, ok := value.(string)

	if n, numeric := number(value); numeric {
		text, ok = strconv.FormatFloat(n, 'f', -1, 64), true
	}

	if !ok {
		return resource.Quantity{}, false
	}

	q, err := resource.ParseQuantity(text)

	return q, err == nil
}

func sameTime(live, desired any) bool {
	l, _ := live.(string)
	d, _ := desired.(string)
	one, err := time.Parse(time.RFC3339, l)
	other, failed := time.Parse(time.RFC3339, d)

	return cmp.Or(err, failed) == nil && one.Equal(other)
}

// below returns the schema of a field; nil when it is not known.
func below(s *spec.Schema, key string) *spec.Schema {
	if s == nil {
		return nil
	}

	if property, ok := s.Properties[key]; ok {
		return &property
	}

	if s.AdditionalProperties != nil {
		return s.AdditionalProperties.Schema
	}

	return nil
}

func itemsOf(s *spec.Schema) *spec.Schema {
	if s == nil || s.Items == nil {
		return nil
	}

	return s.Items.Schema
}

func extension(s *spec.Schema, name string) string {
	if s == nil {
		return ""
	}

	text, _ := s.Extensions[name].(string)

	return text
}

func keysOf(s *spec.Schema) []string {
	switch keys := s.Extensions["x-kubernetes-list-map-keys"].(type) {
	case []string:
		return keys
	case []any:
		names := make([]string, 0, len(keys))

		for _, key := range keys {
			if name, ok := key.(string); ok {
				names = append(names, name)
			}
		}

		return names
	default:
		return nil
	}
}
