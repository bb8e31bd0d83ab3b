package expr

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// schemaOf reads a schema of testdata.
func schemaOf(t testing.TB, name string) *spec.Schema {
	t.Helper()

	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}

	return schemaFrom(t, string(text))
}

func schemaFrom(t testing.TB, text string) *spec.Schema {
	t.Helper()

	s := &spec.Schema{}
	if err := json.Unmarshal([]byte(text), s); err != nil {
		t.Fatalf("read the schema %s: %v", text, err)
	}

	return s
}

// newEnv has the instance, a VPC, a Secret, a list of VPCs and a variable without a schema.
func newEnv(t testing.TB, o Options) *Env {
	t.Helper()

	vpc := schemaOf(t, "vpc")

	e, err := NewEnv(o,
		Variable{Name: "schema", Schema: schemaOf(t, "instance")},
		Variable{Name: "vpc", Schema: vpc},
		Variable{Name: "vpcs", Schema: vpc, List: true},
		Variable{Name: "secret", Schema: schemaOf(t, "secret")},
		Variable{Name: "anything"},
		Variable{Name: "unschemed", Schema: schemaFrom(t, `{"type":"object","x-kubernetes-preserve-unknown-fields":true}`)},
	)
	if err != nil {
		t.Fatal(err)
	}

	return e
}

func compile(t testing.TB, e *Env, source string) *Program {
	t.Helper()

	p, err := e.Compile(source)
	if err != nil {
		t.Fatalf("compile %q: %v", source, err)
	}

	return p
}

func decode(t testing.TB, text string) map[string]any {
	t.Helper()

	parsed := map[string]any{}
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		t.Fatalf("read the object %s: %v", text, err)
	}

	made, ok := whole(parsed).(map[string]any)
	if !ok {
		t.Fatalf("%s is no object", text)
	}

	return made
}

// whole makes integers of whole numbers, as the API machinery does when it decodes.
func whole(value any) any {
	switch v := value.(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	case map[string]any:
		for key, in := range v {
			v[key] = whole(in)
		}
	case []any:
		for i, in := range v {
			v[i] = whole(in)
		}
	}

	return value
}

const (
	instanceJSON = `{"apiVersion":"kro.run/v1alpha1","kind":"Cluster","metadata":{"name":"a","namespace":"team","uid":"7f","generation":3,
		"labels":{"app.kubernetes.io/name":"web"}},
		"spec":{"name":"web","namespace":"apps","in":true,"null":"n","for":4,"with-dash":"d","replicas":3,"ratio":2,"enabled":true,
		"zones":["a","b"],"labels":{"tier":"front"},"extra":{"deep":{"x":1},"list":[{"y":"z"}]},"port":"http",
		"ports":[{"name":"http","port":80},{"name":"https","port":443}]},
		"status":{"conditions":[{"type":"Ready","status":"False","reason":"NotReady","message":"m"}]}}`
	vpcJSON = `{"apiVersion":"ec2.example.com/v1","kind":"VPC","metadata":{"name":"net","resourceVersion":"17","creationTimestamp":"2024-05-01T10:00:00Z"},
		"spec":{"cidr":"10.0.0.0/16"},
		"status":{"subnetID":"subnet-1","state":null,"created":"2024-05-01T10:00:00Z","timeout":"1h30m",
		"subnets":[{"id":"s-1","zone":"a","tags":{"x":"1"}},{"id":"s-2","zone":"b"}],
		"conditions":[{"type":"Ready","status":"True","reason":"Up","lastTransitionTime":"2024-05-01T10:00:00Z"}]}}`
	secretJSON = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","resourceVersion":"9"},"data":{"password":"aHVudGVyMg==","user":"cm9vdA=="}}`
)

func newValues(t testing.TB, e *Env) *Values {
	t.Helper()

	v := e.Values()
	v.Set("schema", decode(t, instanceJSON))
	v.Set("vpc", decode(t, vpcJSON))
	v.Set("vpcs", []any{decode(t, vpcJSON), decode(t, vpcJSON)})
	v.Set("secret", decode(t, secretJSON))
	v.Set("anything", decode(t, vpcJSON))
	v.Set("unschemed", decode(t, vpcJSON))

	return v
}

func TestCompileErrorsSayWhereAndWhat(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		source string
		want   Error
	}{
		"§4.4 an unknown identifier is named": {
			source: "'a' + nothing.spec",
			want:   Error{Offset: 6, Message: "references unknown identifiers: [nothing]"},
		},
		"§4.4 several unknown identifiers are sorted": {
			source: "zebra + apple",
			want:   Error{Offset: 8, Message: "references unknown identifiers: [apple zebra]"},
		},
		"§4.2 the instance's status is no field": {
			source: "schema.status.x",
			want:   Error{Offset: 6, Message: "undefined field 'status'"},
		},
		"§4.4 a field that the kind does not have": {
			source: "vpc.status.subnetId",
			want:   Error{Offset: 10, Message: "undefined field 'subnetId'"},
		},
		"§4.4 the offset counts bytes, on every line": {
			source: "'é€' +\n vpc.nope",
			want:   Error{Offset: 14, Message: "undefined field 'nope'"},
		},
		"§4.4 the offset is one of the source, whatever field names before it are escaped": {
			source: "schema.spec.in && vpc.nope",
			want:   Error{Offset: 21, Message: "undefined field 'nope'"},
		},
		"§4.4 object types have no numbers": {
			source: "vpc.status + 1",
			want:   Error{Offset: 11, Message: "found no matching overload for '_+_' applied to '(object, int)'"},
		},
		"§4.1 a template's parts must be strings": {
			source: "'a' + schema.spec.replicas",
			want:   Error{Offset: 4, Message: "found no matching overload for '_+_' applied to '(string, int)'"},
		},
		"§4.3 omit() behind its gate": {
			source: "schema.spec.enabled ? 'x' : omit()",
			want:   Error{Offset: 32, Message: "omit() needs the feature gate CELOmitFunction"},
		},
		"§4.3 ext Math is not there": {
			source: "math.greatest(1, 2)",
			want:   Error{Offset: 0, Message: "references unknown identifiers: [math]"},
		},
		"§4.3 ext Sets is not there": {
			source: "sets.contains([1], [1])",
			want:   Error{Offset: 0, Message: "references unknown identifiers: [sets]"},
		},
		"§4.3 a regular expression that does not compile": {
			source: "'a'.matches('(')",
			want:   Error{Message: "error parsing regexp: missing closing ): `(`"},
		},
		"§2.6 runtime only in conditions": {
			source: "runtime.condition(vpc, 'Ready').status",
			want:   Error{Offset: 17, Message: "runtime is only available in status.conditions expressions"},
		},
		"§2.6 runtime only in conditions, also the macro": {
			source: "runtime.newCondition({type: 'A', status: 'True'})",
			want:   Error{Offset: 20, Message: "runtime is only available in status.conditions expressions"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := newEnv(t, Options{}).Compile(c.source)

			var got *Error
			if !errors.As(err, &got) {
				t.Fatalf("Compile(%q) = %v, want an *Error", c.source, err)
			}

			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Errorf("Compile(%q) (-want +got):\n%s", c.source, diff)
			}
		})
	}
}

func TestIdentifiers(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		source string
		want   []string
	}{
		"§4.2 variables once, sorted":               {"vpc.status.id + b.x + vpc.y", []string{"b", "vpc"}},
		"§4.3 functions with dots are no variables": {"base64.encode(hash.md5(a.b)) + json.marshal(lists.range(3))", []string{"a"}},
		"variables of comprehensions are none":      {"ids.map(x, x + y).exists(z, z == x)", []string{"ids", "x", "y"}},
		"variables of two-variable comprehensions":  {"m.transformMap(k, v, k + v)", []string{"m"}},
		"cel.bind's variable is none":               {"cel.bind(x, a.b, x + x)", []string{"a"}},
		"optMap's variable is none":                 {"a.?b.optMap(v, v + c).orValue('')", []string{"a", "c"}},
		"types are none":                            {"type(a) == string || type(a) == google.protobuf.Timestamp", []string{"a"}},
		"has() reads its variable":                  {"has(a.b)", []string{"a"}},
		"reserved words as fields":                  {"a.namespace + a.in + a.?null", []string{"a"}},
		"map keys and values":                       {"{a: b, 'c': [d]}", []string{"a", "b", "d"}},
		"runtime's functions":                       {"runtime.newCondition({type: 'A', status: a})", []string{"a"}},
		"none":                                      {"1 + 2", []string{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := Identifiers(c.source)
			if err != nil {
				t.Fatal(err)
			}

			if len(got)+len(c.want) > 0 {
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}

	var syntax *Error
	if _, err := Identifiers("a +"); !errors.As(err, &syntax) || syntax.Offset != 3 {
		t.Errorf("Identifiers of half an expression: %v, want an *Error at 3", err)
	}
}

func TestEscapeFindsFieldsAlone(t *testing.T) {
	t.Parallel()

	cases := map[string]string{
		"a.in":                     "a.`in`",
		"a.in.true . ? null":       "a.`in`.`true` . ? `null`",
		"a.inner + a.trueish":      "a.inner + a.trueish",
		"'a.in' + \"b.in\" + c.in": "'a.in' + \"b.in\" + c.`in`",
		`'it\'s a.in' + a.in`:      "'it\\'s a.in' + a.`in`",
		`r'\' + a.in`:              "r'\\' + a.`in`",
		"'''a'.in''' + a.in":       "'''a'.in''' + a.`in`",
		"a // b.in\n.in":           "a // b.in\n.`in`",
		"a.`x.in`.in":              "a.`x.in`.`in`",
		"x in a":                   "x in a",
		"b'.in' in a.in":           "b'.in' in a.`in`",
		"'a":                       "'a",
		"a.":                       "a.",
		"é.in":                     "é.`in`",
	}
	for source, want := range cases {
		got := escape(source)
		if got.source != want {
			t.Errorf("escape(%q) = %q, want %q", source, got.source, want)
		}

		if end := got.original(len(got.source)); end != len(source) {
			t.Errorf("the end of %q is at %d, want %d", source, end, len(source))
		}
	}
}
