package expr

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type jsonMap = map[string]any

func TestEval(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		source string
		want   any
	}{
		"§4.2 the instance's identity":              {"schema.apiVersion + '/' + schema.kind", "kro.run/v1alpha1/Cluster"},
		"§4.2 all metadata of the instance":         {"schema.metadata.uid + string(schema.metadata.generation)", "7f3"},
		"§4.2 metadata.resourceVersion of a kind":   {"vpc.metadata.resourceVersion + secret.metadata.resourceVersion", "179"},
		"§4.2 the same without a schema":            {"unschemed.metadata.resourceVersion", "17"},
		"§4.2 anything without a schema":            {"unschemed.status.subnets[1].id", "s-2"},
		"§4.2 a collection is a list":               {"vpcs.map(v, v.status.subnetID)", []any{"subnet-1", "subnet-1"}},
		"§4.2 labels by key":                        {"schema.metadata.labels['app.kubernetes.io/name']", "web"},
		"§4.3 reserved words as fields":             {"schema.spec.namespace + schema.spec.null + string(schema.spec.in) + string(schema.spec.for)", "appsntrue4"},
		"§4.3 reserved words as optional fields":    {"schema.spec.?null.orValue('') + schema.spec.?namespace.orValue('')", "napps"},
		"§4.3 has() of a reserved word":             {"has(schema.spec.in) && has(schema.spec.namespace)", true},
		"§4.3 names that are no identifiers":        {"schema.spec.`with-dash` + schema.spec.with__dash__dash", "dd"},
		"§4.3 ext Strings":                          {"'a,b'.split(',').join('-').upperAscii() + '%s'.format([1])", "A-B1"},
		"§4.3 ext Lists":                            {"lists.range(3).slice(1, 3) + [3, 1].sort() + [[1], [2]].flatten()", []any{int64(1), int64(2), int64(1), int64(3), int64(1), int64(2)}},
		"§4.3 sortBy":                               {"vpc.status.subnets.sortBy(s, s.zone).map(s, s.id)", []any{"s-1", "s-2"}},
		"§4.3 cel.bind":                             {"cel.bind(s, vpc.status.subnets[0], s.id + s.zone)", "s-1a"},
		"§4.3 ext Encoders":                         {"base64.encode(b'hi') + string(base64.decode('aGk='))", "aGk=hi"},
		"§4.3 TwoVarComprehensions on a list":       {"vpc.status.subnets.transformList(i, s, string(i) + s.id)", []any{"0s-1", "1s-2"}},
		"§4.3 TwoVarComprehensions on a map":        {"schema.spec.labels.transformMap(k, v, k + v)", jsonMap{"tier": "tierfront"}},
		"§4.3 a list to a map":                      {"vpc.status.subnets.transformMapEntry(i, s, {s.id: s.zone})", jsonMap{"s-1": "a", "s-2": "b"}},
		"§4.3 OptionalTypes, a field that is there": {"vpc.?status.?subnetID.orValue('none')", "subnet-1"},
		"§4.3 OptionalTypes, one that is not":       {"vpc.status.subnets[?7].?id.orValue('none')", "none"},
		"§4.3 OptionalTypes, hasValue":              {"vpc.status.subnets[1].?tags.hasValue()", false},
		"§4.3 OptionalTypes, by key":                {"schema.spec.labels[?'tier'].orValue('') + schema.spec.labels[?'none'].orValue('-')", "front-"},
		"§4.3 OptionalTypes, optMap":                {"vpc.?status.optMap(s, s.subnetID).orValue('')", "subnet-1"},
		"§4.3 optional entries of a literal":        {"{?'a': vpc.status.?subnetID, ?'b': optional.none()}", jsonMap{"a": "subnet-1"}},
		"§4.3 Kubernetes Lists":                     {"[1, 2, 3].sum() + [1, 2].max() + [4, 5].indexOf(5) + ([1, 2].isSorted() ? 1 : 0)", int64(10)},
		"§4.3 Kubernetes URLs":                      {"url('https://a.b:8/c').getHost()", "a.b:8"},
		"§4.3 Kubernetes Regex":                     {"'abc 123'.find('[0-9]+') + 'x1y2'.findAll('[0-9]')[1]", "1232"},
		"§4.3 Kubernetes Quantity":                  {"quantity('1Gi').isGreaterThan(quantity('1Mi'))", true},
		"§4.3 Kubernetes IP and CIDR":               {"cidr('10.0.0.0/8').containsIP(ip('10.1.2.3')) && isIP('::1')", true},
		"§4.3 Kubernetes Semver":                    {"semver('1.2.3').isLessThan(semver('1.10.0'))", true},
		"§4.3 random.seededString":                  {"random.seededString(20, 'abc')", "r6qfjs5dr6qfjs5dr6qf"},
		"§4.3 random.seededString, shorter":         {"random.seededString(5, 'abc')", "r6qfj"},
		// The first eight bytes of the SHA-256 of "abc" are ba7816bf8f01cfea.
		"§4.3 random.seededInt":                      {"random.seededInt(10, 1000, 'abc')", int64(0xba7816bf8f01cfea%990) + 10},
		"§4.3 random.seededInt, max is exclusive":    {"random.seededInt(-5, -4, 'x')", int64(-5)},
		"§4.3 map.merge":                             {"{'a': 1, 'b': 2}.merge({'b': 3, 'c': 4})", jsonMap{"a": int64(1), "b": int64(3), "c": int64(4)}},
		"§4.3 map.merge of data":                     {"schema.spec.labels.merge({'app': 'x'})", jsonMap{"tier": "front", "app": "x"}},
		"§4.3 dyn.deepMerge":                         {"{'a': {'x': 1, 'y': 2}, 'l': [1]}.deepMerge({'a': {'y': 3}, 'l': [2]})", jsonMap{"a": jsonMap{"x": int64(1), "y": int64(3)}, "l": []any{int64(2)}}},
		"§4.3 dyn.deepMerge of data":                 {"schema.spec.extra.deepMerge({'deep': {'y': 2}}).deep", jsonMap{"x": int64(1), "y": int64(2)}},
		"§4.3 json.marshal":                          {"json.marshal({'b': [1, 2.5, null], 'a': '<&>'})", `{"a":"<&>","b":[1,2.5,null]}`},
		"§4.3 json.marshal of data":                  {"json.marshal(schema.spec.ports[0])", `{"name":"http","port":80}`},
		"§4.3 json.unmarshal":                        {`json.unmarshal('{"a": [1, 2.5, 9223372036854775807]}').a`, []any{int64(1), 2.5, int64(9223372036854775807)}},
		"§4.3 hash.fnv64a":                           {"base64.encode(hash.fnv64a('a'))", "r2PcTIYB7Iw="},
		"§4.3 hash.sha256":                           {"base64.encode(hash.sha256('abc'))", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="},
		"§4.3 hash.md5":                              {"base64.encode(hash.md5('abc'))", "kAFQmDzST7DWlj99KOF/cg=="},
		"§4.3 lists.setAtIndex":                      {"lists.setAtIndex([1, 2, 3], 1, 9)", []any{int64(1), int64(9), int64(3)}},
		"§4.3 lists.insertAtIndex":                   {"lists.insertAtIndex(schema.spec.zones, 2, 'c')", []any{"a", "b", "c"}},
		"§4.3 lists.removeAtIndex":                   {"lists.removeAtIndex(schema.spec.zones, 0)", []any{"b"}},
		"§4.4 an integer or a string":                {"schema.spec.port == 'http'", true},
		"§4.4 base64 is bytes":                       {"string(secret.data.password)", "hunter2"},
		"§4.4 base64 is bytes, by key":               {"string(secret.data['user'])", "root"},
		"§4.4 date-time is a timestamp":              {"vpc.status.created.getFullYear()", int64(2024)},
		"§4.4 duration":                              {"vpc.status.timeout > duration('1h')", true},
		"§4.4 a whole number in a number field":      {"schema.spec.ratio * 1.5", 3.0},
		"§4.4 preserved fields":                      {"schema.spec.extra.deep.x + 1", int64(2)},
		"§4.4 preserved fields, lists":               {"schema.spec.extra.list[0].y", "z"},
		"§4.5 an object as it is":                    {"schema.spec.ports[1]", jsonMap{"name": "https", "port": int64(443)}},
		"§4.5 a list of objects":                     {"schema.spec.ports.filter(p, p.port > 80)", []any{jsonMap{"name": "https", "port": int64(443)}}},
		"§4.5 a Secret's data as it is":              {"secret.data", jsonMap{"password": "aHVudGVyMg==", "user": "cm9vdA=="}},
		"§4.5 optional none is null":                 {"vpc.status.subnets[1].?tags", nil},
		"§4.5 optional of a value is the value":      {"vpc.status.?subnetID", "subnet-1"},
		"§4.5 null":                                  {"null", nil},
		"§4.5 a small uint":                          {"uint(7)", int64(7)},
		"§4.5 a double":                              {"schema.spec.ratio", 2.0},
		"§4.5 a timestamp is text":                   {"vpc.status.created", "2024-05-01T10:00:00Z"},
		"§4.5 a duration is text":                    {"duration('90m')", "5400s"},
		"§4.5 nested literals":                       {"{'a': [{'b': vpc.status.created}]}", jsonMap{"a": []any{jsonMap{"b": "2024-05-01T10:00:00Z"}}}},
		"§4.5 a null where the schema allows one":    {"dyn(vpc.status.state) == null", true},
		"objects are equal to what is in them":       {"schema.spec.ports[0] == schema.spec.ports[0] && schema.spec.ports[0] != schema.spec.ports[1]", true},
		"an object without a static type is a map":   {"dyn(vpc.status.subnets[0]).map(k, k).size()", int64(3)},
		"the size of an object without static type":  {"size(dyn(vpc.status.subnets[1]))", int64(2)},
		"in, for an object without static type":      {"'id' in dyn(vpc.status.subnets[1]) && !('tags' in dyn(vpc.status.subnets[1]))", true},
		"lists of the data can be joined":            {"schema.spec.zones + ['c']", []any{"a", "b", "c"}},
		"§4.5 values are not evaluated again":        {"'$' + '{schema.spec.name}'", "${schema.spec.name}"},
		"§4.3 a message of types that users know":    {"type(schema.spec.replicas) == int", true},
		"all of a macro's kinds":                     {"vpc.status.subnets.all(s, s.id.startsWith('s-')) && vpc.status.subnets.exists_one(s, s.id == 's-1')", true},
		"§4.5 a ternary takes only the branch it is": {"schema.spec.enabled ? schema.spec.name : vpc.status.subnets[9].id", "web"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			e := newEnv(t, Options{})

			got, err := compile(t, e, c.source).Eval(newValues(t, e), nil)
			if err != nil {
				t.Fatalf("evaluate %q: %v", c.source, err)
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.source, diff)
			}
		})
	}
}

func TestEvalErrors(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		source string
		want   string
	}{
		"§4.5 a uint beyond int64":           {"uint(18446744073709551615u)", "uint value 18446744073709551615 is more than an integer can hold"},
		"§4.5 raw bytes":                     {"hash.md5('a')", "raw bytes cannot be a result: wrap the expression in base64.encode(…)"},
		"§4.5 raw bytes in a list":           {"[b'a']", "raw bytes cannot be a result: wrap the expression in base64.encode(…)"},
		"§4.5 a quantity":                    {"quantity('1')", "a value of type kubernetes.Quantity cannot be a result: convert it, for example with string(…)"},
		"§4.5 an IP":                         {"ip('10.0.0.1')", "a value of type net.IP cannot be a result: convert it, for example with string(…)"},
		"§4.5 a URL":                         {"url('http://a')", "a value of type kubernetes.URL cannot be a result: convert it, for example with string(…)"},
		"§4.5 infinity":                      {"1.0 / 0.0", "double value +Inf cannot be written as JSON"},
		"§4.5 keys that are no strings":      {"{1: 2}", "a map with keys of type int cannot be a result: keys must be strings"},
		"§4.5 any other evaluation error":    {"1 / (schema.spec.replicas - 3)", "division by zero"},
		"§4.3 seededString of length 0":      {"random.seededString(0, 'a')", "random.seededString: length must be positive, not 0"},
		"§4.3 seededString that is too long": {"random.seededString(1000000000, 'a')", "random.seededString: length must be at most 1048576, not 1000000000"},
		"§4.3 seededInt without a range":     {"random.seededInt(3, 3, 'a')", "random.seededInt: max must be more than min, but 3 is not more than 3"},
		"§4.3 a range that is too long":      {"lists.range(schema.spec.replicas * 1000000000)", "lists.range: size 3000000000 exceeds maximum allowed (1000000)"},
		"§4.3 an index beyond the list":      {"lists.setAtIndex([1], 1, 2)", "lists.setAtIndex: index 1 is not in a list of 1"},
		"§4.3 a negative index":              {"lists.removeAtIndex([1], -1)", "lists.removeAtIndex: index -1 is not in a list of 1"},
		"§4.3 deepMerge of what is no map":   {"[1].deepMerge({'a': 1})", "deepMerge: a value of type list(dyn) is no map"},
		// A text that only looks as if data were missing.
		"§4.5 data does not decide what is pending": {"json.unmarshal('no such key')", "json.unmarshal: the text is not valid JSON"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			e := newEnv(t, Options{})
			_, err := compile(t, e, c.source).Eval(newValues(t, e), nil)

			var got *EvalError
			if !errors.As(err, &got) {
				t.Fatalf("evaluate %q: %v (%T), want an *EvalError", c.source, err, err)
			}

			if diff := cmp.Diff(c.want, got.Err.Error()); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.source, diff)
			}
		})
	}
}

func TestPendingNamesWhatIsMissing(t *testing.T) {
	t.Parallel()

	const young = `{"apiVersion":"ec2.example.com/v1","kind":"VPC","metadata":{"name":"net"},"status":{"state":null,"subnets":[{"id":"s-1"}],"conditions":[]}}`

	cases := map[string]struct {
		source string
		want   []Field
	}{
		"§4.5 no such key":                     {"vpc.status.subnetID", []Field{{"vpc", "status.subnetID"}}},
		"§4.5 a parent that is missing too":    {"vpc.spec.cidr", []Field{{"vpc", "spec.cidr"}}},
		"§4.5 index out of bounds":             {"vpc.status.subnets[1].id", []Field{{"vpc", "status.subnets[1].id"}}},
		"§4.5 no such attribute":               {"secret.metadata.name", []Field{{"secret", "metadata.name"}}},
		"§4.5 no such key of a map":            {"vpc.metadata.labels['a.b/c']", []Field{{"vpc", `metadata.labels["a.b/c"]`}}},
		"all that is missing, sorted":          {"vpc.status.subnetID + vpc.metadata.uid", []Field{{"vpc", "metadata.uid"}, {"vpc", "status.subnetID"}}},
		"elements of a list":                   {"vpc.status.subnets.map(s, s.zone)", []Field{{"vpc", "status.subnets.zone"}}},
		"what has() asks for does not count":   {"has(vpc.status.created) ? string(vpc.status.created) : vpc.status.subnetID", []Field{{"vpc", "status.subnetID"}}},
		"what is optional does not count":      {"vpc.?spec.?cidr.orValue('') + vpc.status.subnetID", []Field{{"vpc", "status.subnetID"}}},
		"what comes before an optional step":   {"vpc.spec.?cidr.orValue('')", []Field{{"vpc", "spec"}}},
		"a null is no value":                   {"vpc.status.subnets.map(s, vpc.status.created)", []Field{{"vpc", "status.created"}}},
		"through cel.bind":                     {"cel.bind(s, vpc.status, s.subnetID)", []Field{{"vpc", "status.subnetID"}}},
		"a computed index":                     {"vpc.status.conditions[size(schema.spec.zones)].status", []Field{{"vpc", "status.conditions.status"}}},
		"a computed key cannot be told":        {"vpc.status.subnets[0].id + schema.spec.labels[schema.spec.name]", nil},
		"a field of no schema":                 {"anything.status.nope", []Field{{"anything", "status.nope"}}},
		"a variable that is not set at all":    {"json.marshal(secret)", []Field{{"secret", ""}}},
		"a variable that is null":              {"nothing.metadata.name", []Field{{"nothing", "metadata.name"}}},
		"a list element that is not there":     {"vpcs[2].metadata.name", []Field{{"vpcs", "[2].metadata.name"}}},
		"a key of a literal that is not there": {"{'a': 1}['b']", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			e, err := newEnv(t, Options{}).With(Variable{Name: "nothing", Schema: schemaOf(t, "vpc")})
			if err != nil {
				t.Fatal(err)
			}

			v := e.Values()
			v.Set("nothing", nil)
			v.Set("schema", decode(t, instanceJSON))
			v.Set("vpc", decode(t, young))
			v.Set("vpcs", []any{decode(t, young)})
			v.Set("anything", decode(t, young))

			_, err = compile(t, e, c.source).Eval(v, nil)

			var got *PendingError
			if !errors.As(err, &got) {
				t.Fatalf("evaluate %q: %v (%T), want a *PendingError", c.source, err, err)
			}

			if diff := cmp.Diff(c.want, got.Missing); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.source, diff)
			}
		})
	}
}

func TestReads(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		source string
		want   []Read
	}{
		"a chain of fields":              {"vpc.status.subnetID", []Read{{"vpc", []string{"status", "subnetID"}}}},
		"a key of a map":                 {"schema.metadata.labels['app']", []Read{{"schema", []string{"metadata", "labels", "app"}}}},
		"a computed key":                 {"schema.spec.labels[vpc.metadata.name]", []Read{{"schema", []string{"spec", "labels"}}, {"vpc", []string{"metadata", "name"}}}},
		"an index is transparent":        {"vpc.status.subnets[0].id", []Read{{"vpc", []string{"status", "subnets", "id"}}}},
		"elements are transparent":       {"vpc.status.subnets.map(s, s.id)", []Read{{"vpc", []string{"status", "subnets", "id"}}}},
		"elements of a collection":       {"vpcs.all(v, v.status.subnetID != '')", []Read{{"vpcs", []string{"status", "subnetID"}}}},
		"elements that are not used":     {"vpc.status.subnets.map(s, 1)", []Read{{"vpc", []string{"status", "subnets"}}}},
		"elements that are used whole":   {"vpc.status.subnets.filter(s, s.id == '')", []Read{{"vpc", []string{"status", "subnets"}}, {"vpc", []string{"status", "subnets", "id"}}}},
		"two variables":                  {"vpc.status.subnets.transformList(i, s, s.zone)", []Read{{"vpc", []string{"status", "subnets", "zone"}}}},
		"a map that is gone over":        {"schema.spec.labels.transformMap(k, v, k)", []Read{{"schema", []string{"spec", "labels"}}}},
		"comprehensions in each other":   {"vpcs.map(v, v.status.subnets.map(s, s.id))", []Read{{"vpcs", []string{"status", "subnets", "id"}}}},
		"an inner name hides the outer":  {"vpcs.map(vpc, vpc.kind)", []Read{{"vpcs", []string{"kind"}}}},
		"cel.bind":                       {"cel.bind(s, vpc.status, s.subnetID + s.state)", []Read{{"vpc", []string{"status", "state"}}, {"vpc", []string{"status", "subnetID"}}}},
		"has()":                          {"has(vpc.status.subnetID)", []Read{{"vpc", []string{"status", "subnetID"}}}},
		"optional fields":                {"vpc.?status.?subnetID.orValue(schema.spec.name)", []Read{{"schema", []string{"spec", "name"}}, {"vpc", []string{"status", "subnetID"}}}},
		"optional keys":                  {"schema.spec.labels[?'a'].orValue('')", []Read{{"schema", []string{"spec", "labels", "a"}}}},
		"optMap":                         {"vpc.?status.optMap(s, s.subnetID)", []Read{{"vpc", []string{"status"}}, {"vpc", []string{"status", "subnetID"}}}},
		"a whole variable":               {"json.marshal(vpc)", []Read{{"vpc", []string{}}}},
		"each once":                      {"vpc.kind + vpc.kind", []Read{{"vpc", []string{"kind"}}}},
		"§4.3 escaped names":             {"schema.spec.with__dash__dash + schema.spec.`with-dash`", []Read{{"schema", []string{"spec", "with-dash"}}}},
		"§4.3 reserved words":            {"schema.spec.in", []Read{{"schema", []string{"spec", "in"}}}},
		"in literals":                    {"{schema.spec.name: [vpc.kind]}", []Read{{"schema", []string{"spec", "name"}}, {"vpc", []string{"kind"}}}},
		"a variable without a schema":    {"anything.a.b[0].c", []Read{{"anything", []string{"a", "b", "c"}}}},
		"a condition that is asked for":  {"runtime.condition(vpc, 'Ready').status", []Read{{"vpc", []string{"status", "conditions"}}}},
		"nothing":                        {"1 + 1", []Read{}},
		"both branches of a conditional": {"schema.spec.enabled ? vpc.kind : secret.kind", []Read{{"schema", []string{"spec", "enabled"}}, {"secret", []string{"kind"}}, {"vpc", []string{"kind"}}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			e, err := newEnv(t, Options{}).WithConditions()
			if err != nil {
				t.Fatal(err)
			}

			p := compile(t, e, c.source)
			if diff := cmp.Diff(c.want, p.Reads()); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.source, diff)
			}

			want := map[string]bool{}
			for _, r := range c.want {
				want[r.Variable] = true
			}

			if len(p.Variables()) != len(want) {
				t.Errorf("%q: variables %v, want those of the reads", c.source, p.Variables())
			}
		})
	}
}
