package httpconfig

import (
	"strings"
	"testing"
)

func TestTwoTextsAreTheSameIfTheyMeanTheSame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		have, want string
		json, same bool
	}{
		"the same text":                {"a", "a", false, true},
		"a line end at the end":        {"a\n", "a", false, true},
		"two of them":                  {"a\n\n", "a", false, false},
		"another text":                 {"a", "b", false, false},
		"documents in another layout":  {"{\"a\":1,\n \"b\":[true,null]}\n", `{"b":[true,null],"a":1}`, false, true},
		"lists in another order":       {"[1,2]", "[2,1]", false, false},
		"another value":                {`{"a":1}`, `{"a":2}`, false, false},
		"one more":                     {`{"a":1,"b":null}`, `{"a":1}`, false, false},
		"nothing is not none":          {`{"a":null}`, `{"b":1}`, false, false},
		"a number as a text":           {`{"a":"1"}`, `{"a":1}`, false, false},
		"a number in another form":     {`[1.0]`, `[1]`, false, true},
		"an exponent":                  {`[1e2]`, `[100]`, false, true},
		"large numbers":                {`[9007199254740993]`, `[9007199254740992]`, false, false},
		"numbers beyond any":           {`[1e999]`, `[1e998]`, false, false},
		"escapes":                      {`["\u0061"]`, `["a"]`, false, true},
		"versions that look like one":  {"1.10", "1.1", false, false},
		"numbers that are JSON":        {"1.10", "1.1", true, true},
		"strings that are JSON":        {`"\u0061"`, `"a"`, true, true},
		"not JSON":                     {`{"a":1`, `{"a":1,}`, false, false},
		"a document and something":     {`{"a":1}`, "a", false, false},
		"a document and two documents": {`{"a":1}`, `{"a":1}{"a":1}`, false, false},
		"nothing":                      {"", "", false, true},
	} {
		r := rule{json: c.json}
		if got := r.Same(c.have, c.want); got != c.same {
			t.Errorf("%s: got %t", name, got)
		}
		if got := r.Same(c.want, c.have); got != c.same {
			t.Errorf("%s, the other way round: got %t", name, got)
		}
	}
}

func TestWhatIsTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule rule
		text string
		ok   bool
	}{
		"any text":                    {rule{}, "\x00\xff", true},
		"JSON":                        {rule{json: true}, `{"a":1}`, true},
		"no JSON":                     {rule{json: true}, "canary", false},
		"more than is read back":      {rule{read: true}, strings.Repeat("x", most+1), false},
		"as much as is read back":     {rule{read: true}, strings.Repeat("x", most), true},
		"much that is not read back.": {rule{}, strings.Repeat("x", most+1), true},
	} {
		err := c.rule.Check(c.text)
		if (err == nil) != c.ok || err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for declared, want := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "application/merge-patch+json": true, "text/plain": false, "": false,
	} {
		if isJSON(declared) != want {
			t.Errorf("%q: got %t", declared, !want)
		}
	}
	if a, b, c := contentType("", `{"a":1}`), contentType("", "a: 1"), contentType("text/x", "{}"); a != "application/json" || b != "text/plain" || c != "text/x" {
		t.Errorf("got %s, %s and %s", a, b, c)
	}
}

func FuzzSameIsSymmetrical(f *testing.F) {
	f.Add(`{"a":[1,"b"]}`, `{"a": [1.0,"\u0062"]}`)
	f.Add("[1e5]", "[100000]")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, r := range []rule{{}, {json: true}} {
			if !r.Same(a, a) || r.Same(a, b) != r.Same(b, a) {
				t.Errorf("%q and %q", a, b)
			}
		}
	})
}
