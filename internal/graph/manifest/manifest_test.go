package manifest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
	"github.com/lockstep-dev/lockstep/internal/graph/manifest"
)

func TestProblemsAreWhereTheirPathLeads(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		text       string
		path       fieldpath.Path
		expression string
		offset     int
		want       string
	}{
		"a value":                        {"a:\n  b: 1\n", fieldpath.Path{"a", "b"}, "", -1, "f:2:6"},
		"an element of a list":           {"a:\n  - x\n  - y\n", fieldpath.Path{"a", 1}, "", -1, "f:3:5"},
		"a map is at its key":            {"a:\n  b:\n    c: 1\n", fieldpath.Path{"a", "b"}, "", -1, "f:2:3"},
		"what is missing is at the map":  {"a:\n  b: {c: 1}\n", fieldpath.Path{"a", "b", "d", 0}, "", -1, "f:2:3"},
		"nothing at all":                 {"a: 1\n", nil, "", -1, "f:1:1"},
		"a plain text":                   {"a: x ${one + two}\n", fieldpath.Path{"a"}, "one + two", 6, "f:1:14"},
		"an expression of unknown place": {"a: x ${one + two}\n", fieldpath.Path{"a"}, "one + two", -1, "f:1:8"},
		"letters of several bytes":       {"a: é ${one + two}\n", fieldpath.Path{"a"}, "one + two", 6, "f:1:14"},
		"a text in single quotes":        {"a: 'it''s ${one + two}'\n", fieldpath.Path{"a"}, "one + two", 6, "f:1:19"},
		"a text in double quotes":        {`a: "\"\u00e9\x41 ${one + two}"` + "\n", fieldpath.Path{"a"}, "one + two", 6, "f:1:26"},
		"the first letter in quotes":     {`a: "one"` + "\n", fieldpath.Path{"a"}, "one", 0, "f:1:5"},
		"the end of a text in quotes":    {`a: "one"` + "\n", fieldpath.Path{"a"}, "one", 3, "f:1:8"},
		"a literal block":                {"a: |\n  first\n   second ${one +\n    two}\n", fieldpath.Path{"a"}, "one +\n  two", 8, "f:4:5"},
		"a block with an indent of its own": {
			"a: |1\n   first\n   ${one}\n", fieldpath.Path{"a"}, "one", 0, "f:3:6",
		},
		"a folded block is at its start":            {"a: >\n  first\n  ${one}\n", fieldpath.Path{"a"}, "one", 0, "f:1:4"},
		"a text over several lines is at its start": {"a: first\n  ${one}\n", fieldpath.Path{"a"}, "one", 0, "f:1:4"},
		"an expression that is not in the value":    {"a: other\n", fieldpath.Path{"a"}, "one", 0, "f:1:4"},
		"an alias is where its anchor is":           {"a: &x {b: 1}\nc: *x\n", fieldpath.Path{"c", "b"}, "", -1, "f:1:11"},
		"the second document":                       {"---\n# nothing\n--- # more\n\na: 1\n", fieldpath.Path{"a"}, "", -1, "f:5:4"},
		"JSON":                                      {`{"a": {"b": "${one}"}}`, fieldpath.Path{"a", "b"}, "one", 0, "f:1:16"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			documents, problems := manifest.Read("f", []byte(tc.text))
			if len(problems) > 0 || len(documents) != 1 {
				t.Fatalf("got %d documents and the problems %v", len(documents), problems)
			}

			found := documents[0].Problems(&fieldpath.Error{Path: tc.path, Expression: tc.expression, Offset: tc.offset, Err: errors.New("wrong")})
			if got := found[0].String(); !strings.HasPrefix(got, tc.want+": ") {
				t.Errorf("got %s, want it at %s", got, tc.want)
			}
		})
	}
}

func TestAProblemShowsItsLineAndACaret(t *testing.T) {
	t.Parallel()

	documents, _ := manifest.Read("f.yaml", []byte("a:\n  b: \"x\ty ${one}\"\r\n"))
	found := documents[0].Problems(errors.Join(
		&fieldpath.Error{Path: fieldpath.Path{"a", "b"}, Expression: "one", Offset: 0, Err: errors.New("wrong")},
		errors.New("without a place"),
	))

	want := []string{
		"f.yaml:2:13: a.b: wrong\n      b: \"x\ty ${one}\"\n           \t    ^",
		"f.yaml:1:1: without a place\n    a:\n    ^",
	}
	if diff := cmp.Diff(want, []string{found[0].String(), found[1].String()}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReadTakesWhatKubectlTakes(t *testing.T) {
	t.Parallel()

	documents, problems := manifest.Read("f", []byte("kind: One\nspec: {on: yes, num: 3, f: 1.5, big: 9007199254740993}\n---\n---\nkind: Two\n"))
	if len(problems) > 0 || len(documents) != 2 {
		t.Fatalf("got %d documents and the problems %v", len(documents), problems)
	}

	want := map[string]any{"true": true, "num": int64(3), "f": 1.5, "big": float64(9007199254740993)}
	if diff := cmp.Diff(want, documents[0].Object.Object["spec"]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

const kind = `
metadata: {name: apps.example.com}
spec:
  group: example.com
  names: {kind: App, plural: apps}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            default: {}
            required: [size]
            properties:
              size: {type: integer, default: 2, minimum: 1}
              name: {type: string, x-kubernetes-validations: [{rule: "self != 'no'", message: "not no"}]}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              free: {type: object, additionalProperties: {type: integer}}
`

func TestAdmitDoesWhatTheServerDoes(t *testing.T) {
	t.Parallel()

	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict([]byte(kind), crd); err != nil {
		t.Fatal(err)
	}

	for name, tc := range map[string]struct {
		spec map[string]any
		want map[string]any
		errs string
	}{
		"§6 defaults are filled in":      {nil, map[string]any{"size": int64(2)}, ""},
		"a value wins over its default":  {map[string]any{"size": int64(3)}, map[string]any{"size": int64(3)}, ""},
		"an unknown field is refused":    {map[string]any{"colour": "red"}, nil, "spec.colour: unknown field"},
		"a bound is kept":                {map[string]any{"size": int64(0)}, nil, "spec.size: Invalid value: 0: should be greater than or equal to 1"},
		"a rule is kept":                 {map[string]any{"name": "no"}, nil, `spec.name: Invalid value: "no": not no`},
		"a set has every element once":   {map[string]any{"tags": []any{"a", "a"}}, nil, `spec.tags[1]: Duplicate value: "a"`},
		"a wrong type in a map is found": {map[string]any{"free": map[string]any{"a.b": "x"}}, nil, `spec.free.a.b: Invalid value: "string": must be of type integer: "string"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			instance := &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "example.com/v1", "kind": "App", "metadata": map[string]any{"name": "a"},
			}}
			if tc.spec != nil {
				instance.Object["spec"] = tc.spec
			}

			admitted, err := manifest.Admit(t.Context(), crd, instance)

			switch {
			case tc.errs == "" && err != nil:
				t.Fatal(err)
			case tc.errs == "":
				if diff := cmp.Diff(tc.want, admitted.Object["spec"]); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			case err == nil || !strings.Contains(err.Error(), tc.errs):
				t.Errorf("got %v, want it to say %q", err, tc.errs)
			}
		})
	}
}
