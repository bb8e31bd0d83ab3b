package expr

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTypesAreWrittenAsUsersKnowThem(t *testing.T) {
	t.Parallel()

	cases := map[string]string{
		"schema.spec.name":                    "string",
		"schema.spec.replicas":                "int",
		"schema.spec.ratio":                   "double",
		"schema.spec.enabled":                 "bool",
		"schema.spec.zones":                   "list(string)",
		"schema.spec.labels":                  "map(string, string)",
		"schema.spec.ports":                   "list(object)",
		"schema.spec.extra":                   "dyn",
		"schema.spec.port":                    "dyn",
		"schema.spec":                         "object",
		"schema":                              "object",
		"secret.data":                         "map(string, bytes)",
		"vpcs":                                "list(object)",
		"vpc.status.created":                  "timestamp",
		"vpc.status.timeout":                  "duration",
		"vpc.status.?subnetID":                "optional_type(string)",
		"1u":                                  "uint",
		"null":                                "null_type",
		"[]":                                  "list(dyn)",
		"{}":                                  "map(dyn, dyn)",
		"{'a': 1, 'b': 'x'}":                  "map(string, dyn)",
		"quantity('1')":                       "kubernetes.Quantity",
		"vpc.metadata.ownerReferences[0].uid": "string",
		"unschemed.metadata.labels":           "map(string, string)",
		"unschemed.spec.a.b":                  "dyn",
		"secret.metadata.labels":              "map(string, string)",
	}
	e := newEnv(t, Options{})

	for source, want := range cases {
		if got := compile(t, e, source).Type().String(); got != want {
			t.Errorf("the type of %q is %q, want %q", source, got, want)
		}
	}
}

func TestTypePredicates(t *testing.T) {
	t.Parallel()

	e := newEnv(t, Options{})
	of := func(source string) *Type { return compile(t, e, source).Type() }

	cases := map[string]bool{
		"§3.4 bool is bool":                 of("schema.spec.enabled").IsBool(),
		"§3.4 optional(bool) is bool":       of("schema.spec.?enabled").IsBool(),
		"§3.4 string is not bool":           !of("'true'").IsBool(),
		"dyn is not bool":                   !of("schema.spec.extra.x").IsBool(),
		"string is string":                  of("vpc.kind").IsString(),
		"optional(string) is not string":    !of("vpc.?kind").IsString(),
		"preserved fields are dyn":          of("schema.spec.extra.x").IsDyn(),
		"an object is not dyn":              !of("schema.spec").IsDyn(),
		"a list is a list":                  of("schema.spec.zones").IsList(),
		"a map is no list":                  !of("schema.spec.labels").IsList(),
		"what is no list has no elements":   of("schema.spec.labels").Elem() == nil,
		"the elements of a list of strings": of("schema.spec.zones").Elem().IsString(),
	}
	for name, holds := range cases {
		if !holds {
			t.Error(name + ": does not hold")
		}
	}
}

func TestFits(t *testing.T) {
	t.Parallel()

	const (
		text   = `{"type":"string"}`
		object = `{"type":"object","properties":{"name":{"type":"string"},"port":{"type":"integer"},"extra":{"type":"string"}}}`
		labels = `{"type":"object","additionalProperties":{"type":"string"}}`
		bytes  = `{"type":"string","format":"byte"}`
	)

	cases := map[string]struct {
		source, target string
		want           *MismatchError
	}{
		"§4.4 exact":                                    {"vpc.kind", text, nil},
		"§4.4 a string for an integer":                  {"vpc.kind", `{"type":"integer"}`, &MismatchError{Got: "string", Want: "int"}},
		"§4.4 an integer for a string":                  {"schema.spec.replicas", text, &MismatchError{Got: "int", Want: "string"}},
		"§4.4 an integer for a boolean":                 {"1", `{"type":"boolean"}`, &MismatchError{Got: "int", Want: "bool"}},
		"§4.4 a double for an integer":                  {"1.5", `{"type":"integer"}`, &MismatchError{Got: "double", Want: "int"}},
		"§4.4 an integer for a number":                  {"1", `{"type":"number"}`, nil},
		"§4.4 a uint for an integer":                    {"1u", `{"type":"integer"}`, nil},
		"§4.4 optional is unwrapped":                    {"vpc.?kind", text, nil},
		"§4.4 optional of something else":               {"schema.spec.?replicas", text, &MismatchError{Got: "int", Want: "string"}},
		"§4.4 dyn is accepted":                          {"schema.spec.extra.x", text, nil},
		"§4.4 anything for preserved fields":            {"vpc.status", `{"type":"object","x-kubernetes-preserve-unknown-fields":true}`, nil},
		"§4.4 a string for an integer or a string":      {"vpc.kind", `{"x-kubernetes-int-or-string":true}`, nil},
		"§4.4 the same by format":                       {"1", `{"type":"string","format":"int-or-string"}`, nil},
		"§4.4 an object with fewer fields":              {"schema.spec.ports[0]", object, nil},
		"§4.4 an object with a field more":              {"schema.spec.ports[0]", `{"type":"object","properties":{"name":{"type":"string"}}}`, &MismatchError{Got: "object", Want: "object without this field", Field: "port"}},
		"§4.4 an object with another type inside":       {"schema.spec.ports[0]", `{"type":"object","properties":{"name":{"type":"string"},"port":{"type":"string"}}}`, &MismatchError{Got: "int", Want: "string", Field: "port"}},
		"§4.4 an object for a map":                      {"vpc.spec", labels, nil},
		"§4.4 an object for a map of other values":      {"schema.spec.ports[0]", labels, &MismatchError{Got: "int", Want: "string", Field: "port"}},
		"§4.4 a map for an object":                      {"{'name': 'a', 'extra': 'b'}", object, nil},
		"§4.4 a map for an object without such a field": {"{'name': true}", object, &MismatchError{Got: "map(string, bool)", Want: "object"}},
		"§4.4 a map of mixed values":                    {"{'name': 'a', 'port': 1}", object, nil},
		"§4.4 a map for a map":                          {"schema.spec.labels", labels, nil},
		"§4.4 a map for a map of other values":          {"{'a': 1}", labels, &MismatchError{Got: "int", Want: "string", Field: "[]"}},
		"§4.4 keys that are no strings":                 {"{1: 'a'}", labels, &MismatchError{Got: "map(int, string)", Want: "map(string, string)"}},
		"§4.4 the empty map":                            {"{}", labels, nil},
		"§4.4 lists by their elements":                  {"schema.spec.zones", `{"type":"array","items":{"type":"string"}}`, nil},
		"§4.4 lists of something else":                  {"schema.spec.zones", `{"type":"array","items":{"type":"integer"}}`, &MismatchError{Got: "string", Want: "int", Field: "[]"}},
		"§4.4 lists of objects":                         {"schema.spec.ports", `{"type":"array","items":` + object + `}`, nil},
		"§4.4 the empty list":                           {"[]", `{"type":"array","items":{"type":"string"}}`, nil},
		"§4.4 a list for a string":                      {"schema.spec.zones", text, &MismatchError{Got: "list(string)", Want: "string"}},
		"§4.4 an object for a string":                   {"vpc.status", text, &MismatchError{Got: "object", Want: "string"}},
		"§4.4 bytes for format byte":                    {"secret.data.a", bytes, nil},
		"§4.4 base64 text for format byte":              {"base64.encode(b'a')", bytes, nil},
		"§4.4 bytes for a string":                       {"secret.data.a", text, &MismatchError{Got: "bytes", Want: "string"}},
		"§4.4 a Secret's data for a Secret's data":      {"secret.data", `{"type":"object","additionalProperties":` + bytes + `}`, nil},
		"§4.4 a timestamp for date-time":                {"vpc.status.created", `{"type":"string","format":"date-time"}`, nil},
		"§4.4 a timestamp for a string":                 {"vpc.status.created", text, &MismatchError{Got: "timestamp", Want: "string"}},
		"§4.4 null where it is allowed":                 {"null", `{"type":"string","nullable":true}`, nil},
		"§4.4 null where it is not":                     {"null", text, &MismatchError{Got: "null_type", Want: "string"}},
		"§4.4 a type that is no value":                  {"quantity('1')", text, &MismatchError{Got: "kubernetes.Quantity", Want: "string"}},
	}
	e := newEnv(t, Options{})

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			err := compile(t, e, c.source).Type().Fits(schemaFrom(t, c.target))

			var got *MismatchError
			if err != nil && !errors.As(err, &got) {
				t.Fatalf("Fits = %v, want a *MismatchError", err)
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%q for %s (-want +got):\n%s", c.source, c.target, diff)
			}
		})
	}
}

func TestFitsItsOwnSchema(t *testing.T) {
	t.Parallel()

	vpc := schemaOf(t, "vpc")

	e, err := NewEnv(Options{}, Variable{Name: "vpc", Schema: vpc})
	if err != nil {
		t.Fatal(err)
	}

	status := vpc.Properties["status"]
	if err := compile(t, e, "vpc.status").Type().Fits(&status); err != nil {
		t.Error(err)
	}

	if err := compile(t, e, "vpc.metadata").Type().Fits(ObjectMeta()); err != nil {
		t.Error(err)
	}
}

func TestJSONSchemaOfStatusFields(t *testing.T) {
	t.Parallel()

	cases := map[string]struct{ source, want string }{
		"§2.5 int":                 {"schema.spec.replicas", `{"type":"integer"}`},
		"§2.5 uint":                {"1u", `{"type":"integer"}`},
		"§2.5 double":              {"schema.spec.ratio", `{"type":"number"}`},
		"§2.5 bool":                {"schema.spec.enabled", `{"type":"boolean"}`},
		"§2.5 string":              {"vpc.kind", `{"type":"string"}`},
		"§2.5 bytes":               {"secret.data.a", `{"type":"string","format":"byte"}`},
		"§2.5 timestamp":           {"vpc.status.created", `{"type":"string","format":"date-time"}`},
		"§2.5 list":                {"schema.spec.zones", `{"type":"array","items":{"type":"string"}}`},
		"§2.5 map":                 {"schema.spec.labels", `{"type":"object","additionalProperties":{"type":"string"}}`},
		"§2.5 struct":              {"schema.spec.ports[0]", `{"type":"object","properties":{"name":{"type":"string"},"port":{"type":"integer"}}}`},
		"§2.5 struct in a list":    {"vpc.status.subnets", `{"type":"array","items":{"type":"object","properties":{"id":{"type":"string"},"tags":{"type":"object","additionalProperties":{"type":"string"}},"zone":{"type":"string"}}}}`},
		"§2.5 dyn":                 {"schema.spec.extra", `{"x-kubernetes-preserve-unknown-fields":true}`},
		"§2.5 optional":            {"vpc.status.?subnetID", `{"x-kubernetes-preserve-unknown-fields":true}`},
		"§2.5 null":                {"null", `{"x-kubernetes-preserve-unknown-fields":true}`},
		"§2.5 a map of many types": {"{'a': 1, 'b': ''}", `{"type":"object","additionalProperties":{"x-kubernetes-preserve-unknown-fields":true}}`},
	}
	e := newEnv(t, Options{})

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := json.Marshal(compile(t, e, c.source).Type().JSONSchema())
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.source, diff)
			}
		})
	}

	whole := compile(t, e, "schema.spec").Type().JSONSchema()
	if port := whole.Properties["port"]; !port.XIntOrString {
		t.Errorf("§2.5 an integer or a string inside a struct is %+v, want one", port)
	}

	if extra := whole.Properties["extra"]; extra.XPreserveUnknownFields == nil || !*extra.XPreserveUnknownFields {
		t.Errorf("§2.5 preserved fields inside a struct are %+v, want them preserved", extra)
	}
}
