package apply

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"pgregory.net/rapid"
)

// extended returns a schema with an extension.
func extended(s spec.Schema, key string, value any) spec.Schema {
	s.Extensions = maps.Clone(s.Extensions)
	s.AddExtension(key, value)

	return s
}

func object(fields map[string]spec.Schema) spec.Schema {
	return spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: fields}}
}

func freeKeys(values spec.Schema) spec.Schema {
	return spec.Schema{SchemaProps: spec.SchemaProps{
		Type: []string{"object"}, AdditionalProperties: &spec.SchemaOrBool{Allows: true, Schema: &values},
	}}
}

func listOf(items spec.Schema, kind string, keys ...any) spec.Schema {
	s := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"array"}, Items: &spec.SchemaOrArray{Schema: &items}}}
	if kind != "" {
		s.AddExtension("x-kubernetes-list-type", kind)
	}

	if len(keys) > 0 {
		s.AddExtension("x-kubernetes-list-map-keys", keys)
	}

	return s
}

func format(kind, name string) spec.Schema {
	return spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{kind}, Format: name}}
}

func TestCarries(t *testing.T) {
	t.Parallel()

	text := format("string", "")
	protocol := text
	protocol.Default = "TCP"
	port := object(map[string]spec.Schema{"port": format("integer", "int32"), "protocol": protocol, "name": text, "node": format("integer", "")})
	custom := extended(text, intOrString, true)
	customQuantity := custom
	customQuantity.Pattern = `^[0-9]+`

	schemaOf := object(map[string]spec.Schema{"spec": object(map[string]spec.Schema{
		"set":      listOf(text, "set"),
		"ports":    listOf(port, "map", "port", "protocol"),
		"atomic":   listOf(port, "atomic"),
		"labels":   freeKeys(text),
		"selector": extended(freeKeys(text), "x-kubernetes-map-type", "atomic"),
		"whole":    extended(object(map[string]spec.Schema{"labels": freeKeys(text), "mode": text}), "x-kubernetes-map-type", "atomic"),
		"cpu":      format("", formatQuantity),
		"limits":   freeKeys(format("", formatQuantity)),
		"target":   custom,
		"size":     customQuantity,
		"at":       format("string", "date-time"),
		"text":     text,
		"host":     format("boolean", ""),
		"weight":   format("integer", "int32"),
		"a":        object(map[string]spec.Schema{"b": format("boolean", ""), "c": listOf(text, ""), "d": text}),
	})})

	type m = map[string]any

	type l = []any

	cases := map[string]struct {
		live, desired m
		custom, bare  bool
		want          bool
	}{
		"the same":                              {live: m{"text": "x"}, desired: m{"text": "x"}, want: true},
		"another value":                         {live: m{"text": "y"}, desired: m{"text": "x"}},
		"another type":                          {live: m{"text": m{}}, desired: m{"text": "x"}},
		"a map in place of a text":              {live: m{"labels": "x"}, desired: m{"labels": m{"a": "b"}}},
		"a list in place of a map":              {live: m{"labels": l{}}, desired: m{"labels": m{"a": "b"}}},
		"a map in place of a list":              {live: m{"set": m{}}, desired: m{"set": l{"a"}}},
		"a missing field":                       {live: m{}, desired: m{"text": "x"}},
		"a null where something is desired":     {live: m{"text": nil}, desired: m{"text": "x"}},
		"a field of somebody else":              {live: m{"text": "x", "more": true}, desired: m{"text": "x"}, want: true},
		"null desired, nothing there":           {live: m{}, desired: m{"text": nil}, custom: true, want: true},
		"null desired, a default there":         {live: m{"text": "x"}, desired: m{"text": nil}, custom: true, want: true},
		"an empty map desired, nothing there":   {live: m{}, desired: m{"labels": m{}}, custom: true, want: true},
		"an empty map desired, something there": {live: m{"labels": m{"a": "b"}}, desired: m{"labels": m{}}, want: true},
		"an empty list desired, nothing there":  {live: m{}, desired: m{"set": l{}}, custom: true, want: true},
		"an empty set desired, something there": {live: m{"set": l{"a"}}, desired: m{"set": l{}}, want: true},
		"an empty list desired, items there":    {live: m{"atomic": l{m{}}}, desired: m{"atomic": l{}}},

		"false that a built-in kind leaves out":               {live: m{}, desired: m{"host": false}, want: true},
		"0 that a built-in kind leaves out":                   {live: m{}, desired: m{"weight": int64(0)}, want: true},
		"a map of nothing that a built-in kind drops":         {live: m{}, desired: m{"a": m{"b": false, "c": l{}, "d": nil}}, want: true},
		"a map of something that is missing":                  {live: m{}, desired: m{"a": m{"b": false, "c": "x"}}},
		"a default in place of an empty text":                 {live: m{"text": "x"}, desired: m{"text": ""}, want: true},
		"an empty text under a free key that has another one": {live: m{"labels": m{"k": "x"}}, desired: m{"labels": m{"k": ""}}},
		"an empty text under a free key that is not there":    {live: m{"labels": m{}}, desired: m{"labels": m{"k": ""}}},
		"an empty text under a free key of a missing map":     {live: m{}, desired: m{"labels": m{"k": ""}}},
		"an empty text in a list in place of another one":     {live: m{"set": l{"x"}}, desired: m{"set": l{""}}},
		"false in a custom kind":                              {live: m{}, desired: m{"host": false}, custom: true},
		"true in place of false":                              {live: m{"host": true}, desired: m{"host": false}},
		"another number in place of 0":                        {live: m{"weight": int64(1)}, desired: m{"weight": int64(0)}},
		"an empty text in a custom kind":                      {live: m{"text": "x"}, desired: m{"text": ""}, custom: true},

		"the same number in another notation":      {live: m{"n": int64(1)}, desired: m{"n": 1.0}, want: true},
		"another number":                           {live: m{"n": int64(1)}, desired: m{"n": 1.5}},
		"another number beyond what floats tell":   {live: m{"n": int64(1<<53 + 1)}, desired: m{"n": int64(1 << 53)}},
		"a quantity in another notation":           {live: m{"cpu": "500m"}, desired: m{"cpu": "0.5"}, want: true},
		"a quantity that was a number":             {live: m{"cpu": "1"}, desired: m{"cpu": int64(1)}, want: true},
		"a quantity that was a fraction":           {live: m{"cpu": "500m"}, desired: m{"cpu": 0.5}, want: true},
		"a quantity below free keys":               {live: m{"limits": m{"memory": "1Gi"}}, desired: m{"limits": m{"memory": "1024Mi"}}, want: true},
		"another quantity":                         {live: m{"cpu": "500m"}, desired: m{"cpu": "0.6"}},
		"no quantity at all":                       {live: m{"cpu": "500m"}, desired: m{"cpu": "much"}},
		"a text that looks like a quantity":        {live: m{"text": "500m"}, desired: m{"text": "0.5"}},
		"a port's name in place of its number":     {live: m{"target": "80"}, desired: m{"target": int64(80)}},
		"a custom quantity in another notation":    {live: m{"size": "1000m"}, desired: m{"size": int64(1)}, custom: true, want: true},
		"the same moment in another notation":      {live: m{"at": "2026-01-01T00:00:00Z"}, desired: m{"at": "2026-01-01T01:00:00+01:00"}, want: true},
		"another moment":                           {live: m{"at": "2026-01-01T00:00:00Z"}, desired: m{"at": "2026-01-01T00:00:00+01:00"}},
		"no moment":                                {live: m{"at": "2026-01-01T00:00:00Z"}, desired: m{"at": "soon"}},
		"a set in another order, with more":        {live: m{"set": l{"c", "b", "a"}}, desired: m{"set": l{"a", "c"}}, want: true},
		"a set that lacks a value":                 {live: m{"set": l{"a"}}, desired: m{"set": l{"a", "c"}}},
		"items by key, in another order":           {live: m{"ports": l{m{"port": int64(2), "protocol": "TCP"}, m{"port": int64(1), "protocol": "TCP", "node": int64(3)}}}, desired: m{"ports": l{m{"port": int64(1)}}}, want: true},
		"an item by key that differs":              {live: m{"ports": l{m{"port": int64(1), "protocol": "TCP", "name": "a"}}}, desired: m{"ports": l{m{"port": int64(1), "name": "b"}}}},
		"an item whose default key is another":     {live: m{"ports": l{m{"port": int64(1), "protocol": "UDP"}}}, desired: m{"ports": l{m{"port": int64(1)}}}},
		"an item by key that is missing":           {live: m{"ports": l{m{"port": int64(2), "protocol": "TCP"}}}, desired: m{"ports": l{m{"port": int64(1)}}}},
		"an item that is no map":                   {live: m{"ports": l{"x"}}, desired: m{"ports": l{m{"port": int64(1)}}}},
		"an atomic list with defaults in it":       {live: m{"atomic": l{m{"port": int64(1), "protocol": "TCP"}}}, desired: m{"atomic": l{m{"port": int64(1)}}}, want: true},
		"an atomic list that is longer":            {live: m{"atomic": l{m{"port": int64(1)}, m{}}}, desired: m{"atomic": l{m{"port": int64(1)}}}},
		"an atomic list in another order":          {live: m{"atomic": l{m{"port": int64(1)}, m{"port": int64(2)}}}, desired: m{"atomic": l{m{"port": int64(2)}, m{"port": int64(1)}}}},
		"free keys with more":                      {live: m{"labels": m{"a": "1", "b": "2"}}, desired: m{"labels": m{"a": "1"}}, want: true},
		"free keys of an atomic map with more":     {live: m{"selector": m{"a": "1", "b": "2"}}, desired: m{"selector": m{"a": "1"}}},
		"free keys in an atomic value with more":   {live: m{"whole": m{"labels": m{"a": "1", "b": "2"}}}, desired: m{"whole": m{"labels": m{"a": "1"}}}},
		"the defaults of an atomic value":          {live: m{"whole": m{"labels": m{"a": "1"}, "mode": "x"}}, desired: m{"whole": m{"labels": m{"a": "1"}}}, want: true},
		"an atomic map that asks for nothing":      {live: m{"selector": m{"a": "1"}}, desired: m{"selector": m{}}, want: true},
		"a list without a schema, the same":        {live: m{"set": l{"a", "b"}}, desired: m{"set": l{"a", "b"}}, bare: true, want: true},
		"a list without a schema, another order":   {live: m{"set": l{"b", "a"}}, desired: m{"set": l{"a", "b"}}, bare: true},
		"a field that the schema does not know":    {live: m{"unknown": l{m{"a": "1", "b": "2"}}}, desired: m{"unknown": l{m{"a": "1"}}}, want: true},
		"an item of an unknown list that is other": {live: m{"unknown": l{m{"a": "2"}}}, desired: m{"unknown": l{m{"a": "1"}}}},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			apiVersion := "apps/v1"
			if test.custom {
				apiVersion = "shop.example.test/v1"
			}

			s := &schemaOf
			if test.bare {
				s = nil
			}

			live := m{"apiVersion": apiVersion, "spec": test.live}
			if got := Carries(live, m{"apiVersion": apiVersion, "spec": test.desired}, s); got != test.want {
				t.Errorf("carries: %t", got)
			}
		})
	}
}

func TestCarriesKnowsTheServersWays(t *testing.T) {
	t.Parallel()

	type m = map[string]any

	secret := func(fields m) m {
		fields["apiVersion"], fields["kind"] = "v1", "Secret"

		return fields
	}
	cases := map[string]struct {
		live, desired m
		want          bool
	}{
		"a Secret's text is in its data":                {secret(m{"data": m{"a": "MQ=="}}), secret(m{"stringData": m{"a": "1"}}), true},
		"a Secret's text is another":                    {secret(m{"data": m{"a": "Mg=="}}), secret(m{"stringData": m{"a": "1"}}), false},
		"a Secret's text comes before its data":         {secret(m{"data": m{"a": "MQ=="}}), secret(m{"data": m{"a": "Mg=="}, "stringData": m{"a": "1"}}), true},
		"a Secret's data and text are both looked for":  {secret(m{"data": m{"a": "MQ=="}}), secret(m{"data": m{"b": "Mg=="}, "stringData": m{"a": "1"}}), false},
		"the status is nobody's to apply":               {m{"status": m{"a": "1"}}, m{"status": m{"a": "2"}}, true},
		"labels and annotations are maps as any others": {m{"metadata": m{"labels": m{"a": "1", "b": "2"}}}, m{"metadata": m{"labels": m{"a": "1"}, "annotations": m{}}}, true},
		"a label that was changed":                      {m{"metadata": m{"labels": m{"a": "2"}}}, m{"metadata": m{"labels": m{"a": "1"}}}, false},
	}

	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := Carries(test.live, test.desired, nil); got != test.want {
				t.Errorf("carries: %t", got)
			}
		})
	}
}

// shape is a schema with a desired value for it, and the value as a server would keep it among what others have added.
type shape struct {
	schema        spec.Schema
	desired, live any
}

func drawShape(t *rapid.T, depth int) shape {
	kinds := []string{"scalar", "set", "quantity"}
	if depth > 0 {
		kinds = append(kinds, "object", "free", "map", "atomic")
	}

	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "object":
		return drawObject(t, depth)
	case "free":
		s := shape{schema: freeKeys(format("string", "")), desired: map[string]any{}, live: map[string]any{"others": "x"}}
		for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID).Draw(t, "keys") {
			s.desired.(map[string]any)[key], s.live.(map[string]any)[key] = key, key
		}

		return s
	case "set":
		values := rapid.SliceOfNDistinct(rapid.SampledFrom([]any{"a", "b", "c"}), 0, 3, rapid.ID).Draw(t, "values")
		live := rapid.Permutation(append(slices.Clone(values), "others")).Draw(t, "order")

		return shape{schema: listOf(format("string", ""), "set"), desired: values, live: live}
	case "map":
		return drawItems(t, depth)
	case "atomic":
		item := drawObject(t, depth-1)

		return shape{schema: listOf(item.schema, ""), desired: []any{item.desired}, live: []any{item.live}}
	case "quantity":
		n := rapid.Int64Range(1, 5).Draw(t, "quantity")

		return shape{schema: format("", formatQuantity), desired: n, live: fmt.Sprintf("%dm", n*1000)}
	default:
		value := rapid.SampledFrom([]any{"x", int64(7), true, false, 0.5}).Draw(t, "value")

		return shape{desired: value, live: value}
	}
}

func drawObject(t *rapid.T, depth int) shape {
	fields, desired, live := map[string]spec.Schema{}, map[string]any{}, map[string]any{"others": "x"}

	for _, key := range []string{"a", "b"} {
		field := drawShape(t, depth-1)
		fields[key] = field.schema

		switch rapid.SampledFrom([]string{"both", "live", "empty"}).Draw(t, key) {
		case "live":
			live[key] = field.live
		case "empty":
			desired[key] = rapid.SampledFrom([]any{nil, map[string]any{}, []any{}}).Draw(t, "empty")
		default:
			desired[key], live[key] = field.desired, field.live
		}
	}

	return shape{schema: object(fields), desired: desired, live: live}
}

func drawItems(t *rapid.T, depth int) shape {
	var desired, live []any

	field := drawShape(t, depth-1)

	for _, key := range []string{"one", "two", "three"} {
		item := map[string]any{"name": key, "kind": "default", "others": "x"}
		live = append(live, item)

		if rapid.Bool().Draw(t, key) {
			desired = append(desired, map[string]any{"name": key, "value": field.desired})
			item["value"] = field.live
		}
	}

	kind := format("string", "")
	kind.Default = "default"
	items := object(map[string]spec.Schema{"name": format("string", ""), "kind": kind, "value": field.schema})

	return shape{
		schema: listOf(items, "map", "name", "kind"), desired: desired, live: rapid.Permutation(live).Draw(t, "order"),
	}
}

// spoil changes one of the desired values, or takes it away. It returns false when there is none.
func spoil(t *rapid.T, desired any) (any, bool) {
	switch d := desired.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(d)) {
			if other, ok := spoil(t, d[key]); ok {
				spoiled := maps.Clone(d)
				spoiled[key] = other

				return spoiled, true
			}
		}
	case []any:
		for n := range d {
			if other, ok := spoil(t, d[n]); ok {
				spoiled := slices.Clone(d)
				spoiled[n] = other

				return spoiled, true
			}
		}
	case nil:
	default:
		return "spoiled", true
	}

	return nil, false
}

func TestWhatAServerKeepsOfADesiredObjectCarriesIt(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		s := drawObject(t, 3)
		desired, _ := s.desired.(map[string]any)
		live, _ := s.live.(map[string]any)
		desired["apiVersion"], live["apiVersion"] = "shop.example.test/v1", "shop.example.test/v1"

		if !Carries(live, desired, &s.schema) {
			t.Fatalf("it is not carried\nlive %v\ndesired %v", live, desired)
		}

		if !Carries(desired, desired, &s.schema) {
			t.Fatalf("it does not carry itself: %v", desired)
		}

		delete(desired, "apiVersion")

		if other, ok := spoil(t, desired); ok {
			if spoiled, _ := other.(map[string]any); Carries(live, spoiled, &s.schema) {
				t.Fatalf("what nobody has applied is carried\nlive %v\ndesired %v", live, spoiled)
			}
		}
	})
}
