package simpleschema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"sigs.k8s.io/yaml"

	"github.com/lockstep-dev/lockstep/internal/graph/fieldpath"
	"github.com/lockstep-dev/lockstep/internal/graph/simpleschema"
)

// document is spec and types as they stand in a definition.
type document struct {
	Spec  map[string]any `json:"spec"`
	Types map[string]any `json:"types"`
}

func parse(t testing.TB, text string) document {
	t.Helper()

	var d document
	if err := yaml.UnmarshalStrict([]byte(text), &d); err != nil {
		t.Fatalf("parse the document: %v", err)
	}

	return d
}

func build(d document) (*apiextensionsv1.JSONSchemaProps, error) {
	return simpleschema.Build(d.Spec, d.Types, fieldpath.Path{"spec", "schema"})
}

// messages returns the problems, each with its path.
func messages(t testing.TB, err error) []string {
	t.Helper()

	if err == nil {
		return nil
	}

	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("the error is no list of problems: %v", err)
	}

	var all []string

	for _, e := range joined.Unwrap() {
		var at *fieldpath.Error
		if !errors.As(e, &at) {
			t.Fatalf("a problem has no path: %v", e)
		}

		all = append(all, at.Path.String()+": "+at.Err.Error())
	}

	return all
}

// asYAML spells a schema for comparison: sorted, as the server would read it.
func asYAML(t testing.TB, schema *apiextensionsv1.JSONSchemaProps) string {
	t.Helper()

	raw, err := yaml.Marshal(schema)
	if err != nil {
		t.Fatalf("write the schema: %v", err)
	}

	return string(raw)
}

// normal spells YAML the same way.
func normal(t testing.TB, text string) string {
	t.Helper()

	var schema apiextensionsv1.JSONSchemaProps
	if err := yaml.UnmarshalStrict([]byte(text), &schema); err != nil {
		t.Fatalf("parse the wanted schema: %v", err)
	}

	return asYAML(t, &schema)
}

// structural returns what the server finds wrong with a schema.
func structural(t testing.TB, schema *apiextensionsv1.JSONSchemaProps) error {
	t.Helper()

	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(schema, &internal, nil); err != nil {
		return fmt.Errorf("convert: %w", err)
	}

	s, err := structuralschema.NewStructural(&internal)
	if err != nil {
		return fmt.Errorf("make structural: %w", err)
	}

	return structuralschema.ValidateStructural(nil, s).ToAggregate()
}

// fieldCases are fields, each with its schema.
func fieldCases() map[string]struct{ field, want string } {
	return map[string]struct{ field, want string }{
		"§2.2 string is a string":                             {`string`, `{type: string}`},
		"§2.2 integer is an integer":                          {`integer`, `{type: integer}`},
		"§2.2 boolean is a boolean":                           {`boolean`, `{type: boolean}`},
		"§2.2 float is a number":                              {`float`, `{type: number}`},
		"§2.2 object keeps whatever is in it":                 {`object`, `{type: object, x-kubernetes-preserve-unknown-fields: true}`},
		"§2.2 []T is a list":                                  {`"[]string"`, `{type: array, items: {type: string}}`},
		"§2.2 map[string]T is a map":                          {`map[string]integer`, `{type: object, additionalProperties: {type: integer}}`},
		"§2.2 lists of lists":                                 {`"[][]float"`, `{type: array, items: {type: array, items: {type: number}}}`},
		"§2.2 maps of lists of objects":                       {`map[string][]object`, `{type: object, additionalProperties: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}}`},
		"§2.2 lists of maps of maps":                          {`"[]map[string]map[string]boolean"`, `{type: array, items: {type: object, additionalProperties: {type: object, additionalProperties: {type: boolean}}}}`},
		"§2.2 spaces within a type do not matter":             {`"[] map[string] string"`, `{type: array, items: {type: object, additionalProperties: {type: string}}}`},
		"§2.2 sixteen lists within each other are allowed":    {`"` + strings.Repeat("[]", 16) + `string"`, strings.Repeat(`{type: array, items: `, 16) + `{type: string}` + strings.Repeat(`}`, 16)},
		"§2.1 markers are separated by any space":             {`"integer|minimum=1  maximum=2\n\tdescription=x "`, `{type: integer, minimum: 1, maximum: 2, description: x}`},
		"§2.1 a value may be in quotes":                       {`'string | description="two words"'`, `{type: string, description: two words}`},
		"§2.1 a backslash in quotes makes a quote of a quote": {`'string | description="say \"hi\" and C:\\dir\n"'`, `{type: string, description: 'say "hi" and C:\dir\n'}`},
		"§2.1 a pipe in quotes is a character":                {`'string | pattern="^(a|b)$"'`, `{type: string, pattern: ^(a|b)$}`},
		"§2.1 a pipe in a value is a character":               {`'string | pattern=a|b'`, `{type: string, pattern: a|b}`},
		"§2.1 an equals sign in a value is a character":       {`'string | description=a=b'`, `{type: string, description: a=b}`},
		"§2.1 brackets and quotes keep a value together":      {`'[]string | default=["a b", "c] d"]'`, `{type: array, items: {type: string}, default: [a b, "c] d"]}`},
		"§2.1 spaces around the equals sign do not hurt":      {`'string | description ="x"'`, `{type: string, description: x}`},
		"§2.3 description":                                    {`'string | description="The name"'`, `{type: string, description: The name}`},
		"§2.3 minimum and maximum of integers":                {`integer | minimum=-5 maximum=10`, `{type: integer, minimum: -5, maximum: 10}`},
		"§2.3 minimum and maximum of floats":                  {`float | minimum=0.5 maximum=1e3`, `{type: number, minimum: 0.5, maximum: 1000}`},
		"§2.3 enum of strings, spaces trimmed":                {`'string | enum="a, b ,c"'`, `{type: string, enum: [a, b, c]}`},
		"§2.3 enum of integers":                               {`integer | enum=1,2,3`, `{type: integer, enum: [1, 2, 3]}`},
		"§2.3 enum of strings with quotes":                    {`'string | enum="a\"b,<c>"'`, `{type: string, enum: ['a"b', <c>]}`},
		"§2.3 validation is a rule":                           {`'integer | validation="self > 1"'`, `{type: integer, x-kubernetes-validations: [{rule: self > 1, message: validation failed}]}`},
		"§2.3 immutable is a rule":                            {`string | immutable=true`, `{type: string, x-kubernetes-validations: [{rule: self == oldSelf, message: field is immutable}]}`},
		"§2.3 immutable=false is none":                        {`string | immutable=false`, `{type: string}`},
		"§2.3 several rules are all kept":                     {`'string | validation="self != \"a\"" immutable=true validation="size(self) < 9"'`, `{type: string, x-kubernetes-validations: [{rule: 'self != "a"', message: validation failed}, {rule: self == oldSelf, message: field is immutable}, {rule: size(self) < 9, message: validation failed}]}`},
		"§2.3 pattern":                                        {`'string | pattern="^[a-z]{2,}$"'`, `{type: string, pattern: '^[a-z]{2,}$'}`},
		"§2.3 pattern with a class in brackets, unquoted":     {`string | pattern=^[a-z ]+$`, `{type: string, pattern: '^[a-z ]+$'}`},
		"§2.3 minLength and maxLength":                        {`string | minLength=0 maxLength=63`, `{type: string, minLength: 0, maxLength: 63}`},
		"§2.3 minItems and maxItems":                          {`"[]string | minItems=1 maxItems=2"`, `{type: array, items: {type: string}, minItems: 1, maxItems: 2}`},
		"§2.3 uniqueItems is a set":                           {`"[]string | uniqueItems=true"`, `{type: array, items: {type: string}, x-kubernetes-list-type: set}`},
		"§2.3 uniqueItems=false is none":                      {`"[]string | uniqueItems=false"`, `{type: array, items: {type: string}}`},
		"§2.3 listType=atomic":                                {`"[]string | listType=atomic"`, `{type: array, items: {type: string}, x-kubernetes-list-type: atomic}`},
		"§2.3 listType=set":                                   {`"[]string | listType=set"`, `{type: array, items: {type: string}, x-kubernetes-list-type: set}`},
		"§2.3 listType=map with its keys in order":            {`"[]Port | listMapKey=port listType=map listMapKey=name"`, `{type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [port, name], items: {type: object, required: [name], properties: {name: {type: string}, port: {type: integer, default: 80}}}}`},
		"§2.3 minItems=0 and required=false change nothing":   {`"[]string | minItems=0 required=false"`, `{type: array, items: {type: string}, minItems: 0}`},
	}
}

func TestBuildsFields(t *testing.T) {
	t.Parallel()

	for name, c := range fieldCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := build(parse(t, "spec:\n  field: "+c.field+"\ntypes: {Port: {name: string | required=true, port: integer | default=80}}"))
			if err != nil {
				t.Fatalf("build: %v", err)
			}

			field := got.Properties["field"]
			if diff := cmp.Diff(normal(t, c.want), asYAML(t, &field)); diff != "" {
				t.Errorf("schema (-want +got):\n%s", diff)
			}

			if err := structural(t, got); err != nil {
				t.Errorf("the server would refuse it: %v", err)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		field string
		want  any // the default as the server reads it
	}{
		"§2.3 of a string":                                        {`string | default=a`, "a"},
		"§2.3 of a string in quotes":                              {`string | default="a b"`, "a b"},
		"§2.3 of a string that looks like a number":               {`string | default=5`, "5"},
		"§2.3 of a string that looks like null":                   {`string | default=null`, "null"},
		"§2.3 an empty string":                                    {`string | default=""`, ""},
		"§2.3 a string with quotes in it":                         {`string | default="say \"hi\""`, `say "hi"`},
		"§2.3 a string of JSON":                                   {`string | default={"a": "b"}`, `{"a": "b"}`},
		"§2.3 a string with a quote in front of a quote":          {`string | default="a\",\"b"`, `a","b`},
		"§2.3 an escape of JSON in a string keeps its meaning":    {`string | default="a\nb\tc\u0041"`, "a\nb\tcA"},
		"§2.3 a backslash that is no escape is a backslash":       {`string | default="\d+"`, `\d+`},
		"§2.3 a string that ends in a backslash":                  {`string | default="C:\\"`, `C:\`},
		"§2.3 a real line break in a string":                      {"string | default=\"a\nb\"", "a\nb"},
		"§2.3 an expression is only text":                         {`string | default="${schema.x}"`, "${schema.x}"},
		"§2.3 of an integer":                                      {`integer | default=-3`, -3.0},
		"§2.3 of an integer with a plus":                          {`integer | default=+3`, 3.0},
		"§2.3 of an integer in quotes":                            {`integer | default="3"`, 3.0},
		"§2.3 of a float":                                         {`float | default=0.5`, 0.5},
		"§2.3 of a float as JSON would not have it":               {`float | default=.5`, 0.5},
		"§2.3 of a boolean":                                       {`boolean | default=false`, false},
		"§2.3 of a list":                                          {`[]string | default=["a b", "c] d"]`, []any{"a b", "c] d"}},
		"§2.3 an empty list":                                      {`[]string | default=[]`, []any{}},
		"§2.3 of a list in quotes":                                {`[]string | default="[\"a\"]"`, []any{"a"}},
		"§2.3 of a map":                                           {`map[string]string | default={"a b": "c"}`, map[string]any{"a b": "c"}},
		"§2.3 of an object":                                       {`object | default={"a": {"b": [1, 2]}}`, map[string]any{"a": map[string]any{"b": []any{1.0, 2.0}}}},
		"§2.3 null is none":                                       {`object | default=null`, nil},
		"§2.2 of an alias reaches the field":                      {`Alias`, 8080.0},
		"§2.2 of an alias of an alias reaches the field":          {`Again`, 8080.0},
		"§2.2 of the field wins over the alias's":                 {`Alias | default=1`, 1.0},
		"§2.2 of an alias does not reach a list of it":            {`[]Alias`, nil},
		"§2.2 of an alias does not reach a map of it":             {`map[string]Alias`, nil},
		"§2.4 a struct of the types has one when its fields have": {`Struct`, map[string]any{}},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := build(document{
				Spec: map[string]any{"field": c.field},
				Types: map[string]any{
					"Alias": "integer | default=8080", "Again": "Alias", "Struct": map[string]any{"port": "Alias"},
				},
			})
			if err != nil {
				t.Fatalf("build: %v", err)
			}

			var value any

			if raw := got.Properties["field"].Default; raw != nil {
				if err := json.Unmarshal(raw.Raw, &value); err != nil {
					t.Fatalf("the default %s is no JSON: %v", raw.Raw, err)
				}
			}

			if diff := cmp.Diff(c.want, value); diff != "" {
				t.Errorf("default (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBuildsDocuments(t *testing.T) {
	t.Parallel()

	cases := map[string]struct{ document, want string }{
		"§2.1 nothing is an object without fields": {`{}`, `{type: object}`},
		"§2.1 a map is a struct": {
			`spec: {a: {b: {c: string}}}`,
			`{type: object, properties: {a: {type: object, properties: {b: {type: object, properties: {c: {type: string}}}}}}}`,
		},
		"§2.1 the names of markers and types are fine names of fields": {
			`spec: {default: string, type: string, x-y: integer, "a.b": string}`,
			`{type: object, properties: {default: {type: string}, type: {type: string}, x-y: {type: integer}, "a.b": {type: string}}}`,
		},
		"§2.3 required names are sorted": {
			`spec: {c: string | required=true, a: string | required=true, b: string | required=false}`,
			`{type: object, required: [a, c], properties: {a: {type: string}, b: {type: string}, c: {type: string}}}`,
		},
		"§2.2 required of an alias reaches the field, once": {
			`{types: {Name: string | required=true, Again: Name}, spec: {a: Again | required=true, b: "[]Name", c: "map[string]Name"}}`,
			`{type: object, required: [a], properties: {a: {type: string}, b: {type: array, items: {type: string}}, c: {type: object, additionalProperties: {type: string}}}}`,
		},
		"§2.2 markers of an alias reach the field and are added to": {
			`{types: {Port: integer | minimum=1 immutable=true}, spec: {a: Port | maximum=5 validation="self != 3", b: Port}}`,
			`{type: object, properties: {
			   a: {type: integer, minimum: 1, maximum: 5, x-kubernetes-validations: [{rule: self == oldSelf, message: field is immutable}, {rule: self != 3, message: validation failed}]},
			   b: {type: integer, minimum: 1, x-kubernetes-validations: [{rule: self == oldSelf, message: field is immutable}]}}}`,
		},
		"§2.2 types use each other in any order": {
			`{types: {A: {b: B}, B: "[]C", C: {name: string | required=true}}, spec: {a: A}}`,
			`{type: object, properties: {a: {type: object, properties: {b: {type: array, items: {type: object, required: [name], properties: {name: {type: string}}}}}}}}`,
		},
		"§2.2 a field of a struct's type can be required and described": {
			`{types: {A: {x: string}}, spec: {a: 'A | required=true description="An A"'}}`,
			`{type: object, required: [a], properties: {a: {type: object, description: An A, properties: {x: {type: string}}}}}`,
		},
		"§2.4 defaults go up to the root": {
			`spec: {a: {b: {c: integer | default=1}}}`,
			`{type: object, default: {}, properties: {a: {type: object, default: {}, properties: {b: {type: object, default: {}, properties: {c: {type: integer, default: 1}}}}}}}`,
		},
		"§2.4 a required field keeps defaults from going up": {
			`spec: {a: {b: integer | default=1, c: string | required=true}}`,
			`{type: object, properties: {a: {type: object, required: [c], properties: {b: {type: integer, default: 1}, c: {type: string}}}}}`,
		},
		"§2.4 a required field of a struct that has none does not": {
			`spec: {a: {b: integer | default=1, c: {d: string | required=true}}}`,
			`{type: object, default: {}, properties: {a: {type: object, default: {}, properties: {b: {type: integer, default: 1}, c: {type: object, required: [d], properties: {d: {type: string}}}}}}}`,
		},
		"§2.4 a required field with a default counts as required": {
			`spec: {a: {b: integer | default=1 required=true}}`,
			`{type: object, properties: {a: {type: object, required: [b], properties: {b: {type: integer, default: 1}}}}}`,
		},
		"§2.4 a struct without defaults has none": {
			`spec: {a: {b: integer}}`,
			`{type: object, properties: {a: {type: object, properties: {b: {type: integer}}}}}`,
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := build(parse(t, c.document))
			if err != nil {
				t.Fatalf("build: %v", err)
			}

			if diff := cmp.Diff(normal(t, c.want), asYAML(t, got)); diff != "" {
				t.Errorf("schema (-want +got):\n%s", diff)
			}

			if err := structural(t, got); err != nil {
				t.Errorf("the server would refuse it: %v", err)
			}
		})
	}
}

func TestRefusesFields(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		field any
		want  string
	}{
		"§2.2 an unknown type":                         {"Foo", "unknown type: Foo"},
		"§2.2 number is no type":                       {"number", "unknown type: number"},
		"§2.2 an unknown type in a list":               {"[]Foo", "unknown type: Foo"},
		"§2.2 an unknown type in a map":                {"map[string][]Foo", "unknown type: Foo"},
		"§2.2 a map with another key":                  {"map[integer]string", "map key must be string"},
		"§2.2 a map whose key is not closed":           {"map[string", "map key must be string"},
		"§2.2 a map with another key in a list":        {"[]map[]string", "map key must be string"},
		"§2.2 seventeen lists within each other":       {strings.Repeat("[]", 17) + "string", "type nesting too deep: at most 16 lists and maps within each other"},
		"§2.2 a list of nothing":                       {"[]", "empty type"},
		"§2.2 a map of nothing":                        {"map[string]", "empty type"},
		"§2.1 nothing":                                 {"", "empty type"},
		"§2.1 markers without a type":                  {"| default=1", "empty type"},
		"§2.1 a pipe with nothing behind it":           {"string |", "marker key '' without a value"},
		"§2.1 a pipe with spaces behind it":            {"string |  ", "marker key '' without a value"},
		"§2.1 a marker without a value":                {"string | required", "marker key 'required' without a value"},
		"§2.1 a word after a marker":                   {"string | description=two words", "marker key 'words' without a value"},
		"§2.1 a word between markers":                  {"string | description=two words default=x", "marker key 'words' without a value"},
		"§2.1 a value without a key":                   {"string | =x", "a marker has an empty key"},
		"§2.1 a second pipe":                           {"string | required=true | default=x", "unknown marker: | default=x: a field has one pipe"},
		"§2.1 a second pipe at the marker":             {"string | required=true |default=x", "unknown marker: |default"},
		"§2.1 a quote that is not closed":              {`string | default="a`, "marker default: unclosed quote"},
		"§2.1 a quote that is only escaped":            {`string | default="a\"`, "marker default: unclosed quote"},
		"§2.1 a bracket that is not closed":            {`[]string | default=["a"`, "marker default: unclosed bracket or brace"},
		"§2.1 a bracket that is not opened":            {`[]string | default=]`, "marker default: unmatched closing bracket or brace"},
		"§2.1 a list":                                  {[]any{"string"}, "unexpected type: a list is written as []T, such as []string, or []Name with Name under types"},
		"§2.1 a number":                                {int64(5), "unexpected type: a field is a type such as string, or a map of fields, not the value 5"},
		"§2.1 a null":                                  {nil, "unexpected type: a field is a type such as string, or a map of fields; here is nothing"},
		"§2.3 an unknown marker":                       {"string | foo=1", "unknown marker: foo"},
		"§2.3 a marker in capitals":                    {"string | Required=true", "unknown marker: Required"},
		"§2.3 required that is no boolean":             {"string | required=yes", `marker required is true or false, not "yes"`},
		"§2.3 immutable that is no boolean":            {"string | immutable=", `marker immutable is true or false, not ""`},
		"§2.3 uniqueItems that is no boolean":          {"[]string | uniqueItems=2", `marker uniqueItems is true or false, not "2"`},
		"§2.3 uniqueItems of a string":                 {"string | uniqueItems=true", "marker uniqueItems is for the type array, not for string"},
		"§2.3 a default that is no integer":            {"integer | default=1.5", `marker default is an integer, not "1.5"`},
		"§2.3 a default that is no number":             {"float | default=x", `marker default is a number, not "x"`},
		"§2.3 a default that is no finite number":      {"float | default=NaN", `marker default is a number, not "NaN"`},
		"§2.3 a default that is no boolean":            {"boolean | default=yes", `marker default is true or false, not "yes"`},
		"§2.3 a default of a list that is no JSON":     {"[]string | default=a", "marker default is not JSON: invalid character 'a' looking for beginning of value"},
		"§2.3 a default of a list that is a map":       {"[]string | default={}", "marker default is not of the type array: {}"},
		"§2.3 a default of a map that is a string":     {`object | default="\"a\""`, `marker default is not of the type object: "a"`},
		"§2.3 minimum of a string":                     {"string | minimum=1", "marker minimum is for the type integer or number, not for string"},
		"§2.3 minimum that is no number":               {"integer | minimum=one", `marker minimum is a number, not "one"`},
		"§2.3 maximum that is infinite":                {"float | maximum=Inf", `marker maximum is a number, not "Inf"`},
		"§2.3 enum of booleans":                        {"boolean | enum=true", "marker enum is for the type string or integer, not for boolean"},
		"§2.3 enum with an empty value":                {"string | enum=a,,b", "marker enum has an empty value"},
		"§2.3 enum without values":                     {`string | enum=""`, "marker enum has an empty value"},
		"§2.3 enum of integers with another":           {"integer | enum=1,x", `marker enum is an integer, not "x"`},
		"§2.3 an empty validation":                     {`string | validation=" "`, "marker validation needs a CEL expression"},
		"§2.3 an empty pattern":                        {`string | pattern=""`, "marker pattern is a regular expression, not empty"},
		"§2.3 a pattern that does not compile":         {`string | pattern="("`, "marker pattern is not a regular expression: error parsing regexp: missing closing ): `(`"},
		"§2.3 a pattern of an integer":                 {`integer | pattern=a`, "marker pattern is for the type string, not for integer"},
		"§2.3 minLength of a list":                     {"[]string | minLength=1", "marker minLength is for the type string, not for array"},
		"§2.3 a negative minLength":                    {"string | minLength=-1", "marker minLength is 0 or more, not -1"},
		"§2.3 a negative maxLength":                    {"string | maxLength=-1", "marker maxLength is 0 or more, not -1"},
		"§2.3 minItems of a string":                    {"string | minItems=1", "marker minItems is for the type array, not for string"},
		"§2.3 a negative minItems":                     {"[]string | minItems=-1", "marker minItems is 0 or more, not -1"},
		"§2.3 maxItems that is no integer":             {"[]string | maxItems=many", `marker maxItems is an integer, not "many"`},
		"§2.3 another listType":                        {"[]string | listType=bag", `marker listType is atomic, set or map, not "bag"`},
		"§2.3 listType of a map":                       {"map[string]string | listType=map", "marker listType is for the type array, not for object"},
		"§2.3 listMapKey without listType=map":         {"[]P | listMapKey=name", "marker listMapKey is for listType=map alone"},
		"§2.3 listMapKey of a set":                     {"[]P | listType=set listMapKey=name", "marker listMapKey is for listType=map alone"},
		"§2.3 listType=map without a key":              {"[]P | listType=map", "listType=map needs a marker listMapKey"},
		"§2.3 listMapKey twice":                        {"[]P | listMapKey=name listType=map listMapKey=name", "duplicate listMapKey name"},
		"§2.3 an empty listMapKey":                     {`[]P | listType=map listMapKey=name listMapKey=""`, "marker listMapKey is a field of the elements, not empty"},
		"§2.3 listMapKey of a field that is not there": {"[]P | listType=map listMapKey=id", "listMapKey id is not a field of the elements"},
		"§2.3 listMapKey of a field that may be absent": {
			"[]P | listType=map listMapKey=note",
			"listMapKey note is neither required nor has a default",
		},
		"§2.3 listMapKey of a string": {"string | listMapKey=a", "marker listMapKey is for the type array, not for string"},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := build(document{
				Spec:  map[string]any{"in": map[string]any{"field": c.field}},
				Types: map[string]any{"P": map[string]any{"name": "string | required=true", "note": "string"}},
			})

			want := []string{"spec.schema.spec.in.field: " + c.want}
			if diff := cmp.Diff(want, messages(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusesDocuments(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		document string
		want     []string
	}{
		"all problems at once, types first, in a stable order": {
			`{types: {B: {x: nope}, A: integer | minimum=x}, spec: {z: number, "a.b": {c: string | foo=1 bar=2 minimum=1}, d: Nope | foo=1 default=x}}`,
			[]string{
				`spec.schema.types.A: marker minimum is a number, not "x"`,
				`spec.schema.types.B.x: unknown type: nope`,
				`spec.schema.spec["a.b"].c: unknown marker: foo`,
				`spec.schema.spec["a.b"].c: unknown marker: bar`,
				`spec.schema.spec["a.b"].c: marker minimum is for the type integer or number, not for string`,
				`spec.schema.spec.d: unknown type: Nope`,
				`spec.schema.spec.d: unknown marker: foo`,
				`spec.schema.spec.z: unknown type: number`,
			},
		},
		"§2.2 a problem of a type is not repeated where the type is used": {
			`{types: {A: Nope}, spec: {a: A, b: "[]A", c: A | default=1}}`,
			[]string{`spec.schema.types.A: unknown type: Nope`},
		},
		"§2.2 a type that uses itself": {
			`{types: {A: {next: A}}, spec: {a: A}}`,
			[]string{`spec.schema.types.A: cyclic dependency in type A: A -> A`},
		},
		"§2.2 types that use each other in a circle": {
			`{types: {A: {b: "[]B"}, B: "map[string]C", C: A | required=true, D: {c: C}}, spec: {a: A}}`,
			[]string{`spec.schema.types.A: cyclic dependency in type A: A -> B -> C -> A`},
		},
		"§2.2 a circle behind a type that is not in it": {
			`{types: {A: B, B: {c: C}, C: {b: B}}}`,
			[]string{`spec.schema.types.B: cyclic dependency in type B: B -> C -> B`},
		},
		"§2.2 a type is a struct or an alias": {
			`{types: {A: [string], B: 3, C: null}}`,
			[]string{
				`spec.schema.types.A: unexpected type: a list is written as []T, such as []string, or []Name with Name under types`,
				`spec.schema.types.B: unexpected type: a field is a type such as string, or a map of fields, not the value 3`,
				`spec.schema.types.C: unexpected type: a field is a type such as string, or a map of fields; here is nothing`,
			},
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := build(parse(t, c.document))
			if diff := cmp.Diff(c.want, messages(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusesTypesThatGrowWithoutBounds(t *testing.T) {
	t.Parallel()

	// Each type uses the next one twice: the last is there 2^40 times.
	types := map[string]any{"T40": "string"}
	for i := range 40 {
		next := fmt.Sprintf("T%02d", i+1)
		types[fmt.Sprintf("T%02d", i)] = map[string]any{"a": next, "b": next}
	}

	_, err := build(document{Spec: map[string]any{"a": "T00"}, Types: types})

	got := messages(t, err)
	if len(got) != 1 || !strings.Contains(got[0], "larger than 4 MiB once its types are expanded") {
		t.Errorf("problems: %q, want one that says how large the schema would be", got)
	}
}

func TestIsTheSameEachTime(t *testing.T) {
	t.Parallel()

	d := parse(t, `
types: {Port: {name: string | required=true, port: integer | default=80 minimum=1}, Tags: "map[string]string"}
spec: {b: {x: string | required=true, a: string | required=true}, a: "[]Port | default=[] listType=map listMapKey=name", c: Tags, d: Port}
`)

	first, err := build(d)
	if err != nil {
		t.Fatalf("build: %v", err)
	}

	want := asYAML(t, first)

	for range 20 {
		again, err := build(d)
		if err != nil {
			t.Fatalf("build: %v", err)
		}

		if diff := cmp.Diff(want, asYAML(t, again)); diff != "" {
			t.Fatalf("schema (-first +again):\n%s", diff)
		}
	}
}

func TestUsesOfATypeDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()

	// Lists of three have room for a fourth, which must not be shared.
	got, err := build(parse(t, `
types:
  E: {k1: string | required=true, k2: string | required=true, k3: string | required=true, k4: string | required=true, k5: string | required=true}
  L: '[]E | listType=map listMapKey=k1 listMapKey=k2 listMapKey=k3 validation="1" validation="2" validation="3"'
spec:
  a: 'L | listMapKey=k4 validation="4"'
  b: 'L | listMapKey=k5 validation="5"'
`))
	if err != nil {
		t.Fatalf("build: %v", err)
	}

	for field, want := range map[string]string{"a": "k1 k2 k3 k4 1 2 3 4", "b": "k1 k2 k3 k5 1 2 3 5"} {
		s := got.Properties[field]
		all := s.XListMapKeys

		for _, rule := range s.XValidations {
			all = append(all, rule.Rule)
		}

		if list := strings.Join(all, " "); list != want {
			t.Errorf("keys and rules of %s: %s, want %s", field, list, want)
		}
	}
}

func FuzzBuild(f *testing.F) {
	for _, c := range fieldCases() {
		f.Add("spec:\n  field: "+c.field, "A: string | default=a")
	}

	f.Add("spec: {a: A, b: {c: '[]B | listType=map listMapKey=x'}}", "{A: B, B: {x: string | required=true, a: A}}")
	f.Add("spec: [1, {a: null}]", "A: 5")

	f.Fuzz(func(t *testing.T, spec, types string) {
		var d document
		if yaml.Unmarshal([]byte(spec), &d) != nil || yaml.Unmarshal([]byte(types), &d.Types) != nil {
			return // no document
		}

		got, err := build(d)
		if err != nil {
			messages(t, err)

			return
		}

		if _, err := json.Marshal(got); err != nil {
			t.Errorf("the schema cannot be written: %v", err)
		}

		if err := structural(t, got); err != nil {
			t.Errorf("the server would refuse the schema: %v", err)
		}
	})
}
