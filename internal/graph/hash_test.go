package graph_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	krov1alpha1 "github.com/lockstep-dev/lockstep/api/kro/v1alpha1"
	"github.com/lockstep-dev/lockstep/internal/graph"
)

const hashed = `
schema:
  kind: App
  apiVersion: v1
  group: example.com
  scope: Namespaced
  spec: {name: string, size: integer | default=9007199254740993}
  types: {Port: integer}
  status: {ip: "${service.spec.clusterIP}"}
  additionalPrinterColumns: [{name: A, type: string, jsonPath: .a}, {name: B, type: string, jsonPath: .b}]
  shortNames: [app]
  metadata: {labels: {a: b}}
resources:
- id: config
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: "1", b: "2"}, size: 9007199254740993, list: [x, z]}
  readyWhen: ["${config.data.a == '1'}", "${config.data.b == '2'}"]
  includeWhen: ["${schema.spec.size > 1}", "${schema.spec.name != ''}"]
  forEach: [{x: "${xs}"}, {z: "${zs}"}]
- id: external
  externalRef: {apiVersion: v1, kind: Secret, metadata: {selector: {matchLabels: {a: b}}}}
- id: late
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}
  waitFor: {external: {fields: [data.a, data.b], matches: {data.a: ^x}, timeout: 10m}}
`

func specOf(t testing.TB, text string) krov1alpha1.ResourceGraphDefinitionSpec {
	t.Helper()

	var s krov1alpha1.ResourceGraphDefinitionSpec
	if err := yaml.UnmarshalStrict([]byte(text), &s); err != nil {
		t.Fatalf("read the definition: %v", err)
	}

	return s
}

func hashOf(t testing.TB, s krov1alpha1.ResourceGraphDefinitionSpec) string {
	t.Helper()

	hash, err := graph.Hash(s)
	if err != nil {
		t.Fatal(err)
	}

	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(hash) {
		t.Errorf("%q is no hash of 16 hexadecimal digits", hash)
	}

	return hash
}

// edit is a change of the text of a definition. Without an old text, the change is one of the values.
type edit struct {
	old, new string
	values   func(*krov1alpha1.ResourceGraphDefinitionSpec)
}

func (e edit) hash(t *testing.T) string {
	t.Helper()

	if e.old != "" && strings.Count(hashed, e.old) != 1 {
		t.Fatalf("%q is not in the definition once", e.old)
	}

	s := specOf(t, strings.Replace(hashed, e.old, e.new, 1))
	if e.values != nil {
		e.values(&s)
	}

	return hashOf(t, s)
}

func TestSection7TheHashStays(t *testing.T) {
	t.Parallel()

	cases := map[string]edit{
		"for the same definition": {},
		"when resources change places": {values: func(s *krov1alpha1.ResourceGraphDefinitionSpec) {
			slices.Reverse(s.Resources)
		}},
		"when readyWhen is reordered": {values: func(s *krov1alpha1.ResourceGraphDefinitionSpec) {
			slices.Reverse(s.Resources[0].ReadyWhen)
		}},
		"when includeWhen is reordered": {values: func(s *krov1alpha1.ResourceGraphDefinitionSpec) {
			slices.Reverse(s.Resources[0].IncludeWhen)
		}},
		"when keys of a template are reordered": {old: `{a: "1", b: "2"}`, new: `{b: "2", a: "1"}`},
		"when a template is written with spaces": {values: func(s *krov1alpha1.ResourceGraphDefinitionSpec) {
			s.Resources[2].Template.Raw = []byte(`{ "metadata": {"name":"b"},` + "\n" + `"kind":"ConfigMap", "apiVersion":"v1" }`)
		}},
		"when a list of conditions is empty instead of missing": {values: func(s *krov1alpha1.ResourceGraphDefinitionSpec) {
			s.Resources[1].ReadyWhen, s.Resources[1].IncludeWhen = []string{}, []string{}
		}},
		"when a list of iterators is empty instead of missing": {values: func(s *krov1alpha1.ResourceGraphDefinitionSpec) {
			s.Resources[1].ForEach = []krov1alpha1.ForEach{}
		}},
		"when a map of waits is empty instead of missing": {values: func(s *krov1alpha1.ResourceGraphDefinitionSpec) {
			s.Resources[1].WaitFor = map[string]krov1alpha1.WaitFor{}
		}},
		"when categories are empty instead of missing": {values: func(s *krov1alpha1.ResourceGraphDefinitionSpec) {
			s.Schema.Categories = []string{}
		}},
		"when a resource that is none is left over": {values: func(s *krov1alpha1.ResourceGraphDefinitionSpec) {
			s.Resources = append(s.Resources, nil)
		}},
	}

	want := hashOf(t, specOf(t, hashed))

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := c.hash(t); got != want {
				t.Errorf("the hash is %s, want %s", got, want)
			}
		})
	}
}

func TestSection7TheHashChanges(t *testing.T) {
	t.Parallel()

	cases := map[string]edit{
		"with the kind":                       {old: "kind: App", new: "kind: Web"},
		"with the version":                    {old: "  apiVersion: v1\n", new: "  apiVersion: v2\n"},
		"with the group":                      {old: "group: example.com", new: "group: example.org"},
		"with the scope":                      {old: "scope: Namespaced", new: "scope: Cluster"},
		"with the schema's spec":              {old: "name: string,", new: "name: string | required=true,"},
		"with the schema's types":             {old: "Port: integer", new: "Port: string"},
		"with the schema's status":            {old: "clusterIP", new: "clusterName"},
		"with the order of printer columns":   {old: "jsonPath: .a}, {name: B, type: string, jsonPath: .b}", new: "jsonPath: .b}, {name: B, type: string, jsonPath: .a}"},
		"with short names":                    {old: "shortNames: [app]", new: "shortNames: [apps]"},
		"with the labels of the CRD":          {old: "labels: {a: b}}\nresources", new: "labels: {a: c}}\nresources"},
		"with an id":                          {old: "id: late", new: "id: later"},
		"with a template":                     {old: `b: "2"}`, new: `b: "3"}`},
		"with the order of a template's list": {old: "list: [x, z]", new: "list: [z, x]"},
		"with the last digit of a big number": {old: "size: 9007199254740993", new: "size: 9007199254740992"},
		"with the type of a value":            {old: `a: "1"`, new: "a: 1"},
		"with an empty object in a template":  {old: "metadata: {name: b}}", new: "metadata: {name: b}, data: {}}"},
		"with a condition of readyWhen":       {old: "data.a == '1'", new: "data.a == '2'"},
		"with a condition of includeWhen":     {old: "size > 1", new: "size > 2"},
		"with the order of iterators":         {old: `{x: "${xs}"}, {z: "${zs}"}`, new: `{z: "${zs}"}, {x: "${xs}"}`},
		"with the selector":                   {old: "matchLabels: {a: b}", new: "matchLabels: {a: c}"},
		"with a name instead of the selector": {old: "selector: {matchLabels: {a: b}}", new: "name: a"},
		"with a field that is waited for":     {old: "data.b]", new: "data.c]"},
		"with a pattern that is waited for":   {old: "^x", new: "^y"},
		"with the timeout":                    {old: "timeout: 10m", new: "timeout: 11m"},
		"with an empty selector instead of none": {values: func(s *krov1alpha1.ResourceGraphDefinitionSpec) {
			s.Resources[1].ExternalRef.Metadata.Selector = nil
		}},
		"with a condition of readyWhen that moves to includeWhen": {values: func(s *krov1alpha1.ResourceGraphDefinitionSpec) {
			r := s.Resources[0]
			r.ReadyWhen, r.IncludeWhen = r.IncludeWhen, r.ReadyWhen
		}},
		"without a resource": {values: func(s *krov1alpha1.ResourceGraphDefinitionSpec) {
			s.Resources = s.Resources[:2]
		}},
	}

	before := hashOf(t, specOf(t, hashed))
	seen := map[string]string{before: "nothing"}

	for name, c := range cases {
		got := c.hash(t)
		if other, there := seen[got]; there {
			t.Errorf("%s: the hash is that of the definition that changed %s", name, other)
		}

		seen[got] = name
	}
}

// A change of this hash makes every definition get a new revision when the manager is upgraded.
func TestSection7TheHashIsTheSameInEveryRelease(t *testing.T) {
	t.Parallel()

	if got := hashOf(t, specOf(t, hashed)); got != "02fc112f135371f0" {
		t.Errorf("the hash is %s", got)
	}
}

func TestSection7TheHashLeavesTheDefinitionAlone(t *testing.T) {
	t.Parallel()

	s := specOf(t, hashed)
	slices.Reverse(s.Resources)

	before, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}

	hashOf(t, s)

	if after, err := json.Marshal(s); err != nil || string(after) != string(before) {
		t.Errorf("the definition has become %s, %v\nfrom %s", after, err, before)
	}
}

func TestSection7TheHashIsThatOfTheSetOfResources(t *testing.T) {
	t.Parallel()

	s := specOf(t, hashed)
	want := hashOf(t, s)

	rapid.Check(t, func(rt *rapid.T) {
		shuffled := *s.DeepCopy()
		shuffled.Resources = rapid.Permutation(shuffled.Resources).Draw(rt, "resources")

		for _, r := range shuffled.Resources {
			r.ReadyWhen = rapid.Permutation(r.ReadyWhen).Draw(rt, "readyWhen")
			r.IncludeWhen = rapid.Permutation(r.IncludeWhen).Draw(rt, "includeWhen")
		}

		if got, err := graph.Hash(shuffled); err != nil || got != want {
			rt.Errorf("the hash is %s, %v; want %s", got, err, want)
		}
	})
}

func TestSection7WhatIsNoJSONHasNoHash(t *testing.T) {
	t.Parallel()

	s := specOf(t, hashed)
	s.Resources[0].Template.Raw = []byte(`{"a":`)

	if got, err := graph.Hash(s); err == nil || got != "" {
		t.Errorf("Hash = %q, %v; want an error", got, err)
	}
}
