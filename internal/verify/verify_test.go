package verify_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/verify"
)

func value() verify.Variable  { return verify.Variable{Name: "value", Kind: verify.Text} }
func values() verify.Variable { return verify.Variable{Name: "values", Kind: verify.Texts} }

func TestACheckOfOneTextHoldsOrNot(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		expression, value string
		want              bool
	}{
		"a number within bounds":         {expression: "int(value) >= 1 && int(value) <= 100", value: "64", want: true},
		"a number out of bounds":         {expression: "int(value) >= 1 && int(value) <= 100", value: "640"},
		"a pattern":                      {expression: "value.matches('^[a-z]+$')", value: "abc", want: true},
		"one of several":                 {expression: "value in ['on', 'off']", value: "on", want: true},
		"a quantity":                     {expression: "quantity(value).isLessThan(quantity('1Gi'))", value: "512Mi", want: true},
		"a duration":                     {expression: "duration(value) <= duration('5m')", value: "10m"},
		"a URL":                          {expression: "isURL(value) && url(value).getScheme() == 'https'", value: "https://a.example", want: true},
		"an address":                     {expression: "isIP(value) && cidr('10.0.0.0/8').containsIP(value)", value: "10.1.2.3", want: true},
		"a version":                      {expression: "isSemver(value) && semver(value).major() == 2", value: "2.0.1", want: true},
		"a list in a text":               {expression: "value.split(',').all(x, x.trim() != '')", value: "a, ,b"},
		"sets":                           {expression: "sets.contains(['a', 'b'], value.split(','))", value: "b,a", want: true},
		"named formats":                  {expression: "!format.dns1123Label().validate(value).hasValue()", value: "a-b", want: true},
		"an empty text":                  {expression: "value == ''", want: true},
		"text that is not UTF-8":         {expression: "value != 'x'", value: "\xff\xfe", want: true},
		"an error beside what is true":   {expression: "value == 'auto' || int(value) > 0", value: "auto", want: true},
		"several lines and a commentary": {expression: "value != '' // never\n  && value.size() < 3", value: "ab", want: true},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p, err := verify.Compile(c.expression, value())
			if err != nil {
				t.Fatal(err)
			}

			got, err := p.Holds(map[string]any{"value": c.value})
			if err != nil || got != c.want {
				t.Errorf("it says %v and %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestACheckOfManyTextsHoldsOrNot(t *testing.T) {
	t.Parallel()

	observed := map[string]string{"global/mon_max_pg_per_osd": "250", "work_mem": "4MB", "database=shop/work_mem": "8MB"}
	cases := map[string]struct {
		expression string
		want       bool
	}{
		"by its id":                        {expression: `int(values["global/mon_max_pg_per_osd"]) < 300`, want: true},
		"by its id after a dot":            {expression: `values.work_mem == "4MB"`, want: true},
		"one with another":                 {expression: `values["work_mem"] == values["database=shop/work_mem"]`},
		"all of them":                      {expression: `values.all(id, values[id] != "")`, want: true},
		"all of them with their ids":       {expression: `values.all(id, v, id.contains("mem") || int(v) > 0)`, want: true},
		"what may be there":                {expression: `!has(values.fsync) || values.fsync == "on"`, want: true},
		"what may be there, in brackets":   {expression: `!("a/b" in values) || values["a/b"] == "on"`, want: true},
		"what may be there, with optional": {expression: `values[?"a/b"].orValue("on") == "on"`, want: true},
		"how many there are":               {expression: `values.size() == 4`},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p, err := verify.Compile(c.expression, values())
			if err != nil {
				t.Fatal(err)
			}

			got, err := p.Holds(map[string]any{"values": observed})
			if err != nil || got != c.want {
				t.Errorf("it says %v and %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestAWrongExpressionIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()

	cases := map[string]struct{ expression, want string }{
		"another name": {
			"foo == 'a'", "character 1: undeclared reference to 'foo'; what there is: value",
		},
		"a text compared with a number": {
			"value != '' &&\n  value > 3", "line 2, character 9: found no matching overload for '>' applied to '(string, int)'; " +
				"what is looked at are texts: int(), double(), duration() and quantity() make numbers of them",
		},
		"no bool":       {"value + 'a'", "character 1: the expression gives string, and has to give bool"},
		"any type":      {"dyn(value)", "character 1: the expression gives dyn, and has to give bool"},
		"a bad pattern": {"value.matches('[')", "character 15: invalid matches argument"},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := verify.Compile(c.expression, value())
			if wrong, ok := errors.AsType[*verify.Error](err); !ok {
				t.Fatalf("the error is %v, want a *verify.Error", err)
			} else if diff := cmp.Diff(c.want, wrong.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}

	for _, expression := range []string{"", "value ==", "value == 'a", "value &&& 'a'", "{"} {
		if _, err := verify.Compile(expression, value()); err == nil || !strings.Contains(err.Error(), "character ") ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("the error of %q is %v", expression, err)
		}
	}
}

// canary is in every text that is looked at, and in no error.
const canary = "c4n4ry"

func TestAFailureNamesThePlaceAndNeverTheText(t *testing.T) {
	t.Parallel()

	const given = " fails with what it is given here"

	cases := map[string]struct{ expression, want string }{
		"no number":             {"int(value) > 3", "character 4: int()" + given},
		"no quantity":           {"quantity(value).isGreaterThan(quantity('1'))", "character 9: quantity()" + given},
		"no duration":           {"duration(value) > duration('1s')", "character 9: duration()" + given},
		"no time":               {"timestamp(value) > timestamp('2020-01-01T00:00:00Z')", "character 10: timestamp()" + given},
		"no pattern":            {"'a'.matches('(' + value)", "character 12: matches()" + given},
		"no URL":                {"url(value).getHost() == 'a'", "character 4: url()" + given},
		"an index too far":      {"value.split(',')[2] == 'a'", "character 17: the index in brackets" + given},
		"a division by nothing": {"1 / (size(value) - size(value)) > 0", "character 3: /" + given},
		"another type":          {"dyn(value) > 3", "character 12: >" + given},
		"an unknown verb":       {"'%d'.format([dyn(value)]) == ''", "character 12: format()" + given},
		"too many steps": {
			"[1,2,3,4,5,6,7,8,9,0].all(a, [1,2,3,4,5,6,7,8,9,0].all(b, [1,2,3,4,5,6,7,8,9,0].all(c, [1,2,3,4,5,6,7,8,9,0].all(d, " +
				"[1,2,3,4,5,6,7,8,9,0].all(e, [1,2,3,4,5,6,7,8,9,0].all(f, value.contains('c4') && a + b + c + d + e + f < 100))))))",
			"character 1: the expression takes too long with what it looks at: it costs more than 2000000 units",
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p, err := verify.Compile(c.expression, value())
			if err != nil {
				t.Fatal(err)
			}

			got, err := p.Holds(map[string]any{"value": canary + " ://("})
			if failed, ok := errors.AsType[*verify.Error](err); got || !ok {
				t.Fatalf("it says %v, and the error is %v, want a *verify.Error", got, err)
			} else if diff := cmp.Diff(c.want, failed.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestATextThatIsNotThereIsNamedWithThoseThatAre(t *testing.T) {
	t.Parallel()

	some := map[string]string{"b": canary, "global/a": canary}
	many := map[string]string{}

	for i := range 30 {
		many[fmt.Sprintf("k%02d", i)] = canary
	}

	const are = `; what there is: "b", "global/a"`

	cases := map[string]struct {
		expression string
		observed   map[string]string
		want       string
	}{
		"in brackets":       {`values["c/d"] != ""`, some, `values has no "c/d"` + are},
		"after a dot":       {`values.c != ""`, some, `values has no "c"` + are},
		"the second of two": {`values.b != values.c`, some, `values has no "c"` + are},
		"within a call":     {`int(values["c"]) > 0`, some, `values has no "c"` + are},
		"before a call":     {`values["c"].size() > 0`, some, `values has no "c"` + are},
		"a computed id":     {`values[values.b] != ""`, some, `values has no such key as the expression computes` + are},
		"an id of a loop": {
			`["c"].all(id, values[id] != "")`, some, `values has no such key as the expression computes` + are,
		},
		"none at all": {`values.c != ""`, nil, `values has no "c"; it is empty`},
		"of many": {
			`values.c != ""`, many, `values has no "c"; what there is: "k00", "k01", "k02", "k03", "k04", "k05", "k06", "k07", ` +
				`"k08", "k09", "k10", "k11", "k12", "k13", "k14", "k15", "k16", "k17", "k18", "k19" and 10 more`,
		},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p, err := verify.Compile(c.expression, values())
			if err != nil {
				t.Fatal(err)
			}

			got, err := p.Holds(map[string]any{"values": c.observed})
			if missing, ok := errors.AsType[*verify.MissingError](err); got || !ok {
				t.Fatalf("it says %v, and the error is %v, want a *verify.MissingError", got, err)
			} else if diff := cmp.Diff(c.want, missing.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAVariableThatIsNotGivenIsAnError(t *testing.T) {
	t.Parallel()

	p, err := verify.Compile("value == ''", value(), values())
	if err != nil {
		t.Fatal(err)
	}

	for name, given := range map[string]map[string]any{
		"nothing":      nil,
		"one of two":   {"value": ""},
		"another type": {"value": 1, "values": map[string]string{}},
		"another map":  {"value": "", "values": map[string]any{}},
	} {
		if _, err := p.Holds(given); err == nil {
			t.Errorf("with %s there is no error", name)
		}
	}
}

func TestAProgramIsForManyAtATime(t *testing.T) {
	t.Parallel()

	p, err := verify.Compile("int(values[\"n\"]) % 2 == 0", values())
	if err != nil {
		t.Fatal(err)
	}

	var all sync.WaitGroup

	for i := range 64 {
		all.Go(func() {
			text := strconv.Itoa(i)
			if i%8 == 7 {
				text = canary
			}

			got, err := p.Holds(map[string]any{"values": map[string]string{"n": text}})
			if got != (i%2 == 0) || (err != nil) != (text == canary) {
				t.Errorf("of %s it says %v and %v", text, got, err)
			}
		})
	}

	all.Wait()
}

func FuzzCheck(f *testing.F) {
	for _, expression := range []string{
		"int(value) > 3", "value.matches('^a+$') && values.a == value", "values[value] == ''", "values['a'].split(value)[1] != ''",
		"duration(value) > duration('1s') || values.all(k, v, k != v)", "url(value).getHost() == values[?'b'].orValue('x')",
		"[value].exists_one(x, int(x) / size(values) == 1)", "quantity(value).asInteger() == 1 ? true : has(values.q)",
		"timestamp(value).getHours('x') > 1", "'%d'.format([dyn(value)]) in values", "{value: value}['x'] == ''", "\n\tvalue ==",
	} {
		f.Add(expression, "12")
		f.Add(expression, "\xff")
	}

	f.Fuzz(func(t *testing.T, expression, text string) {
		if len(expression) > 256 || len(text) > 256 || strings.Contains(expression, "c4") {
			t.Skip()
		}

		p, err := verify.Compile(expression, value(), values())
		if err != nil {
			if wrong, ok := errors.AsType[*verify.Error](err); ok && (wrong.Line < 1 || wrong.Column < 1 || wrong.Message == "") {
				t.Errorf("it is wrong at %d:%d with %q", wrong.Line, wrong.Column, wrong.Message)
			}

			return
		}

		given := map[string]any{"value": canary + text, "values": map[string]string{"a": text + canary}}
		first, err := p.Holds(given)
		again, _ := p.Holds(given)

		switch {
		case first != again:
			t.Errorf("it says %v, then %v", first, again)
		case err != nil && first:
			t.Errorf("it holds and fails with %v", err)
		case err != nil && strings.Contains(err.Error(), "c4"):
			t.Errorf("the error repeats what was looked at: %v", err)
		}
	})
}
