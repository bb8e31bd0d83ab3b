package ceph

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// schemaOf reads a schema as the monitors write it.
func schemaOf(t testing.TB, text string) schema {
	t.Helper()

	var s schema
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}

	return s
}

// mustRule returns the rule of a schema.
func mustRule(t testing.TB, text string) live.Rule {
	t.Helper()

	rule, err := ruleOf(schemaOf(t, text))
	if err != nil {
		t.Fatal(err)
	}

	return rule
}

func TestCheck(t *testing.T) {
	t.Parallel()

	const none = `"min":"","max":""`

	cases := map[string]struct {
		schema string
		good   []string
		// bad texts, by what the error says.
		bad map[string][]string
	}{
		"a whole number": {
			schema: `{"type":"int",` + none + `}`,
			good:   []string{"0", "-1", "+3", "03", "10K", "-1K", "9E", "9223372036854775807", "-9223372036854775808"},
			bad: map[string][]string{"whole number": {
				"", " 3", "3 ", "0x3", "1e3", "3.0", "4k", "4B", "4Ki", "--1", "1-", "10E", "-10E", "9223372036854775808", "٣",
			}},
		},
		"one that is not negative": {
			schema: `{"type":"uint","min":1,"max":""}`,
			good:   []string{"1", "9E", "10K", "9223372036854775807"},
			bad: map[string][]string{
				"not negative": {"-1", "10E", "18E", "9223372036854775808", "-0", "1.5"}, "at least 1": {"0", "0K"},
			},
		},
		"one with both bounds": {
			schema: `{"type":"int","min":0,"max":23}`,
			good:   []string{"0", "23", "023"},
			bad:    map[string][]string{"from 0 to 23": {"24", "-1", "1K"}},
		},
		"one with bounds that exclude each other": {
			schema: `{"type":"uint","min":18446744073709551606,"max":10}`,
			bad:    map[string][]string{"from 18446744073709551606 to 10": {"5", "20"}},
		},
		"a power of two": {
			schema: `{"name":"rbd_discard_granularity_bytes","type":"uint","min":4096,"max":33554432}`,
			good:   []string{"4096", "65536"},
			bad:    map[string][]string{"power of two": {"10000", "10K"}, "from 4096": {"2048"}},
		},
		"a size": {
			schema: `{"type":"size","min":"939524096","max":""}`,
			good:   []string{"4G", "4Gi", "4GB", "4096M", "4294967296", "4294967296B", "+4G", "7E"},
			bad: map[string][]string{
				"1024":               {"", "4g", "4 G", "1.5G", "0x100000000", "-4G", "8E", "16E", "9223372036854775808", "1Bi", "B", "K"},
				"not both":           {"4GiB"},
				"at least 939524096": {"1K", "4B"},
			},
		},
		"a number": {
			schema: `{"type":"float","min":0,"max":1}`,
			good:   []string{"0", "1", "0.10", ".5", "1.", "5e-1", "+.5", "-0", "0.123456"},
			bad: map[string][]string{
				"such as 0.85": {"", "0,5", " 0.5", "0.5\n", "inf", "nan", "0x1p-2", "1e400", "1_0"},
				"six digits":   {"1e-7", "0.1234567", "0.9999999", "1.0000001"},
				"from 0 to 1":  {"-1", "1.5", "1e9"},
			},
		},
		"a duration": {
			schema: `{"type":"secs","min":"1","max":""}`,
			good:   []string{"30", "30s", "1h30m", "2 days", "1 hour 5 min", " 30 ", "1mo", "99999999999y"},
			bad: map[string][]string{
				"duration":   {"", "-5", "30.5", "1H", "90secs", "500ms", "abc", "9999999999999y", "9223372036854775808", "9223372036854775807s 1s"},
				"at least 1": {"0", "0h"},
			},
		},
		"milliseconds": {
			schema: `{"type":"millisecs",` + none + `}`,
			good:   []string{"0", "500"},
			bad:    map[string][]string{"milliseconds": {"", "5s", "-1", "1.5", "9223372036854775808"}},
		},
		"yes or no": {
			schema: `{"type":"bool",` + none + `}`,
			good:   []string{"true", "FALSE", "0", "1"},
			bad:    map[string][]string{"true or false": {"", "yes", "no", "on", "2", "-1", " true", "t"}},
		},
		"a choice": {
			schema: `{"type":"str","enum_values":["","snappy","zlib"],` + none + `}`,
			good:   []string{"", "zlib"},
			bad:    map[string][]string{`"" (empty), snappy, zlib`: {"Zlib", "zlib ", "gzip"}},
		},
		"a text": {
			schema: `{"type":"str","enum_values":[],` + none + `}`,
			good:   []string{"", "a\nb", `"q"`, "p#w;x", "ü", strings.Repeat("x", 70_000)},
			bad:    map[string][]string{"UTF-8": {"\xff", "a\xc3"}, "NUL": {"a\x00b"}},
		},
		"a UUID": {
			schema: `{"type":"uuid",` + none + `}`,
			good:   []string{"62a1b379-c19f-4e69-b4e5-6f1fb8791f57", "62A1B379C19F4E69B4E56F1FB8791F57"},
			bad:    map[string][]string{"UUID": {"", "x", "62a1b379-c19f-4e69-b4e5-6f1fb8791f57 ", "{62a1b379-c19f-4e69-b4e5-6f1fb8791f57}"}},
		},
		"an address": {
			schema: `{"type":"addr",` + none + `}`,
			good:   []string{"-", "10.0.0.1", "10.0.0.1:6789/5", "v1:10.0.0.1:6789/0", "::1", "[::1]", "v2:[::1]:3300", "10.0.0.1:6789/"},
			bad: map[string][]string{"IP address": {
				"", "-1", "host", "10.0.0.300", "v3:10.0.0.1:1", "10.0.0.1:99999", "10.0.0.1 ", "010.0.0.1", "::ffff:1.2.3.4", "fe80::1%eth0",
				"10.0.0.1:1/x", "[v2:10.0.0.1:3300/0]",
			}},
		},
		"addresses": {
			schema: `{"type":"addrvec",` + none + `}`,
			good:   []string{"-", "10.0.0.1", "[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]", "[v2:10.0.0.1:3300]"},
			bad:    map[string][]string{"IP address": {"", "[]", "x", "[v2:10.0.0.1:3300,x]"}},
		},
		"a log level": {
			schema: `{"name":"debug_mon","type":"str","enum_values":[],` + none + `}`,
			good:   []string{"1", "1/5", "99/99", "01/05"},
			bad:    map[string][]string{"log level": {"", "x", "-1", "100", "1/", "1 / 5", "1/5/6"}},
		},
		"features of images": {
			schema: `{"name":"rbd_default_features","type":"str","enum_values":[],` + none + `}`,
			good:   []string{"61", "layering", "layering, exclusive-lock", "063"},
			bad:    map[string][]string{"each once": {"", "bogus", "layering,layering", "1,layering", "0x3d", "-1", "99999"}},
		},
		"the pool of images": {
			schema: `{"name":"rbd_default_pool","type":"str","enum_values":[],` + none + `}`,
			good:   []string{"rbd"},
			bad:    map[string][]string{"name of a pool": {"", "a/b", "a@b"}},
		},
		"the pool of their data": {
			schema: `{"name":"rbd_default_data_pool","type":"str","enum_values":[],` + none + `}`,
			good:   []string{"rbd", ""},
			bad:    map[string][]string{"name of a pool": {"a/b", "a@b"}},
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			rule := mustRule(t, test.schema)
			for _, text := range test.good {
				if err := rule.Check(text); err != nil {
					t.Errorf("%.40q: %v", text, err)
				}

				if !rule.Same(text, text) {
					t.Errorf("%.40q is not itself", text)
				}
			}

			for says, texts := range test.bad {
				for _, text := range texts {
					if err := rule.Check(text); err == nil || !strings.Contains(err.Error(), says) {
						t.Errorf("%q: got %v, want %q", text, err, says)
					}
				}
			}
		})
	}
}

func TestSame(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		schema     string
		have, want string
		same       bool
	}{
		"a unit of 1024":                          {`{"type":"size"}`, "4294967296", "4G", true},
		"a unit of 1000":                          {`{"type":"int"}`, "10000", "10K", true},
		"leading zeros":                           {`{"type":"uint"}`, "3", "03", true},
		"another number":                          {`{"type":"uint"}`, "3", "30", false},
		"a number in the database's form":         {`{"type":"float"}`, "0.100000", "0.10", true},
		"a number in a monitor's form":            {`{"type":"float"}`, "0.94999999999999996", "0.95", true},
		"zero is zero":                            {`{"type":"float"}`, "-0.000000", "0", true},
		"seconds":                                 {`{"type":"secs"}`, "5400", "1h30m", true},
		"a truth value":                           {`{"type":"bool"}`, "true", "1", true},
		"another truth value":                     {`{"type":"bool"}`, "false", "TRUE", false},
		"an address without its port":             {`{"type":"addr"}`, "v2:10.0.0.1:0/0", "10.0.0.1", true},
		"an address in capitals":                  {`{"type":"addr"}`, "v2:[fe80::1]:0/0", "FE80::1", true},
		"another protocol":                        {`{"type":"addr"}`, "v1:10.0.0.1:0/0", "10.0.0.1", false},
		"one address in brackets":                 {`{"type":"addrvec"}`, "v2:10.0.0.1:3300/0", "[v2:10.0.0.1:3300]", true},
		"a UUID":                                  {`{"type":"uuid"}`, "62a1b379-c19f-4e69-b4e5-6f1fb8791f57", "62A1B379C19F4E69B4E56F1FB8791F57", true},
		"a log level":                             {`{"name":"debug_x","type":"str"}`, "1/1", "1", true},
		"features":                                {`{"name":"rbd_default_features","type":"str"}`, "5", "exclusive-lock,layering", true},
		"a text is exact":                         {`{"type":"str"}`, "x", "x\n", false},
		"what somebody forced in is itself":       {`{"type":"uint"}`, "odd", "odd", true},
		"what somebody forced in is nothing else": {`{"type":"uint"}`, "odd", "0", false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			rule := mustRule(t, test.schema)
			if rule.Same(test.have, test.want) != test.same || rule.Same(test.want, test.have) != test.same {
				t.Errorf("%q and %q: want %v", test.have, test.want, test.same)
			}
		})
	}
}

func TestAnOptionOfATypeThatIsNotKnownIsLeftAlone(t *testing.T) {
	t.Parallel()

	o, err := parseOption([]byte(`{"name":"x","type":"matrix","min":"","max":""}`))
	if err != nil || o.rule != nil || o.problem == nil || o.problem.Cause != live.CauseFixed {
		t.Errorf("got %+v and %v, want that it cannot be changed", o, err)
	}
}

func FuzzRules(f *testing.F) {
	for _, seed := range []string{"", "0", "-1", "10K", "4G", "0.1", "1h 5m", "true", "v2:10.0.0.1:1/2", "[v2:[::1]:3300]", "1/5", "layering", "\xff"} {
		f.Add(seed, seed)
	}

	types := []string{"int", "uint", "size", "float", "secs", "millisecs", "bool", "uuid", "addr", "addrvec", "str"}
	names := []string{"x", "debug_x", "rbd_default_features", "rbd_default_pool"}

	f.Fuzz(func(t *testing.T, one, other string) {
		for _, kind := range types {
			for _, name := range names {
				rule, err := ruleOf(schema{Name: name, Type: kind})
				if err != nil {
					t.Fatal(err)
				}

				if !rule.Same(one, one) || rule.Same(one, other) != rule.Same(other, one) {
					t.Errorf("%s %s: %q and %q are not the same both ways", kind, name, one, other)
				}

				if err := rule.Check(one); err != nil && len(one) > 24 && strings.Contains(err.Error(), one) {
					t.Errorf("%s %s: the text is in the error: %v", kind, name, err)
				}
			}
		}
	})
}
