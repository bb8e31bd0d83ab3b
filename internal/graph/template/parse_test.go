package template_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/cel-go/common"
	"github.com/google/cel-go/parser"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/graph/template"
)

func literal(s string, at int) template.Part    { return template.Part{Literal: s, Offset: at} }
func expression(s string, at int) template.Part { return template.Part{Expression: s, Offset: at} }

func standalone(s string) template.Text {
	return template.Text{Parts: []template.Part{expression(s, 2)}, Standalone: true}
}

func unterminated(s string) template.Text {
	return template.Text{Parts: []template.Part{literal(s, 0)}, Unterminated: true}
}

func parts(p ...template.Part) template.Text { return template.Text{Parts: p} }

type parseCase struct {
	text string
	want template.Text
}

func parseCases() map[string]parseCase {
	return map[string]parseCase{
		"§4.1 no text has no parts":                          {"", template.Text{}},
		"§4.1 a text without expressions is a literal":       {"a $b {c} }", parts(literal("a $b {c} }", 0))},
		"§4.1 a whole text can be one expression":            {"${schema.spec.name}", standalone("schema.spec.name")},
		"§4.1 spaces belong to the expression":               {"${ a }", standalone(" a ")},
		"§4.1 a line break after it makes it a text":         {"${a}\n", parts(expression("a", 2), literal("\n", 4))},
		"§4.1 a text around expressions is kept":             {"a-${b}-${c}", parts(literal("a-", 0), expression("b", 4), literal("-", 6), expression("c", 9))},
		"§4.1 expressions may touch":                         {"${a}${b}", parts(expression("a", 2), expression("b", 6))},
		"§4.1 offsets count bytes":                           {"é${a}ü${b}", parts(literal("é", 0), expression("a", 4), literal("ü", 6), expression("b", 10))},
		"§4.1 two dollars are a literal one":                 {"$${a}", parts(literal("$", 0), expression("a", 3))},
		"§4.1 braces that pair belong to the expression":     {`${{"a": {"b": 1}}}`, standalone(`{"a": {"b": 1}}`)},
		"§4.1 a brace too many is a literal":                 {"${a}}", parts(expression("a", 2), literal("}", 4))},
		"§4.1 a literal ${X} is written as a string":         {`${"${X}"}`, standalone(`"${X}"`)},
		"§4.1 an expression in single quotes is a string":    {`${'${X}'}`, standalone(`'${X}'`)},
		"§4.1 a brace in double quotes is a character":       {`${"}"}`, standalone(`"}"`)},
		"§4.1 a brace in single quotes is a character":       {`${'}'}-${'{'}`, parts(expression(`'}'`, 2), literal("-", 6), expression(`'{'`, 9))},
		"§4.1 a double quote in single quotes is one":        {`${'"' + a}`, standalone(`'"' + a`)},
		"§4.1 a single quote in double quotes is one":        {`${"it's }" + a}`, standalone(`"it's }" + a`)},
		"§4.1 an empty string ends at once":                  {`${a + ''}'}`, parts(expression(`a + ''`, 2), literal("'}", 9))},
		"§4.1 an escaped quote does not end a string":        {`${"\"}" + '\'}'}`, standalone(`"\"}" + '\'}'`)},
		"§4.1 an escaped backslash escapes nothing":          {`${"\\"}"}`, parts(expression(`"\\"`, 2), literal(`"}`, 7))},
		"§4.1 triple quotes hold quotes and lines":           {"${'''it's\n}''' + \"\"\"\"}\n\"\"\"}", standalone("'''it's\n}''' + \"\"\"\"}\n\"\"\"")},
		"§4.1 triple quotes know escapes":                    {`${'''\'''}'''}`, standalone(`'''\'''}'''`)},
		"§4.1 a raw string knows no escapes":                 {`${r'\' + R"\"}`, standalone(`r'\' + R"\"`)},
		"§4.1 a raw string in triple quotes knows none":      {`${r'''\'''}`, standalone(`r'''\'''`)},
		"§4.1 bytes are strings, raw or not":                 {`${b'\'}' + bR'\'}`, standalone(`b'\'}' + bR'\'`)},
		"§4.1 a name that ends in r makes no string raw":     {`${for'\'}'}`, standalone(`for'\'}'`)},
		"§4.1 a quoted name may hold slashes":                {"${a.`b//c` + d}", standalone("a.`b//c` + d")},
		"§4.1 a comment runs to the end of its line":         {"${a // it's a } and a ${\n}", standalone("a // it's a } and a ${\n")},
		"§4.1 slashes in a string are no comment":            {`${"http://" + a}`, standalone(`"http://" + a`)},
		"§4.1 the closing brace ends a comment in one line":  {"${a // it's}", standalone("a // it's")},
		"§4.1 a comment in one line may hold quotes":         {`${a // "b}" c}`, standalone(`a // "b}" c`)},
		"§4.1 a comment in one line may follow a quote":      {`${"\"" // it's}`, standalone(`"\"" // it's`)},
		"§4.1 the closing brace ends the comment of a text":  {"x: ${a // b}\ny: ${c}", parts(literal("x: ", 0), expression("a // b", 5), literal("\ny: ", 12), expression("c", 18))},
		"§16.9 an expression without an end is a literal":    {"${a", unterminated("${a")},
		"§16.9 the delimiter alone is a literal":             {"${", unterminated("${")},
		"§16.9 an open double quote leaves a literal":        {`echo ${FOO" x`, unterminated(`echo ${FOO" x`)},
		"§16.9 braces that do not pair leave a literal":      {"a ${{}", unterminated("a ${{}")},
		"§16.9 expressions before a literal one are read":    {"${a} ${b", template.Text{Parts: []template.Part{expression("a", 2), literal(" ${b", 4)}, Unterminated: true}},
		"§16.9 expressions after a literal one are read":     {`${ "a ${b}`, template.Text{Parts: []template.Part{literal(`${ "a `, 0), expression("b", 8)}, Unterminated: true}},
		"§16.9 a lone single quote in text is a character":   {"it's ${a}'s", parts(literal("it's ", 0), expression("a", 7), literal("'s", 9))},
		"§16.8 what a reader of double quotes sees is taken": {"${a // b}\n{ ' }", parts(expression("a // b", 2), literal("\n{ ' }", 9))},
	}
}

func TestParse(t *testing.T) {
	t.Parallel()

	for name, c := range parseCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := template.Parse(c.text)
			if err != nil {
				t.Fatalf("Parse(%q): %v", c.text, err)
			}

			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Parse(%q): -want +got\n%s", c.text, diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		text   string
		want   error
		offset int
	}{
		"§4.1 an expression in an expression":               {"${outer(${inner})}", template.ErrNested, 8},
		"§4.1 an expression in one without an end":          {"-${a ${b}", template.ErrNested, 5},
		"§4.1 an expression behind a string":                {`${"a" + ${b}}`, template.ErrNested, 8},
		"§4.1 nothing between the delimiters":               {"a${}", template.ErrEmpty, 3},
		"§4.1 spaces between the delimiters":                {"${ \n}", template.ErrEmpty, 2},
		"§16.8 a lone single quote":                         {"${schema.spec.name's}", template.ErrQuote, 18},
		"§16.8 a lone single quote in one of two":           {"${a} ${b's}", template.ErrQuote, 8},
		"§16.8 a lone backtick":                             {"${a.`b}", template.ErrQuote, 4},
		"§16.8 a string that goes on in the next line":      {"${\"a\n\"}", template.ErrQuote, 2},
		"§16.8 triple quotes that two of them do not close": {"${'''a'' + b}", template.ErrQuote, 2},
		"§16.8 a closing brace in a string alone":           {"${a + '}'", template.ErrEnd, 9},
	}

	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := template.Parse(c.text)
			if !errors.Is(err, c.want) {
				t.Fatalf("Parse(%q) = %+v, %v; want the error %q", c.text, got, err, c.want)
			}

			var located *template.Error
			if !errors.As(err, &located) || located.Offset != c.offset {
				t.Errorf("Parse(%q): the error is at %+v, want it at %d", c.text, located, c.offset)
			}
		})
	}
}

func TestSection4TheMessageOfANestedExpressionIsTheOneThatUsersKnow(t *testing.T) {
	t.Parallel()

	_, err := template.Parse("${a(${b})}")

	const want = "nested expressions are not allowed unless inside string literals"
	if err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %q", err, want)
	}
}

// written puts a text together again.
func written(text template.Text) string {
	var b strings.Builder

	for _, p := range text.Parts {
		if p.Expression == "" {
			b.WriteString(p.Literal)
		} else {
			b.WriteString("${" + p.Expression + "}")
		}
	}

	return b.String()
}

// check checks what holds of every text that was taken apart.
func check(t *testing.T, s string, text template.Text) {
	t.Helper()

	if got := written(text); got != s {
		t.Fatalf("%q is put together again as %q", s, got)
	}

	for i, p := range text.Parts {
		if (p.Literal == "") == (p.Expression == "") {
			t.Errorf("%q: part %d is both or neither: %+v", s, i, p)
		}

		if i > 0 && p.Expression == "" && text.Parts[i-1].Expression == "" {
			t.Errorf("%q: the literals %d and %d are neighbours", s, i-1, i)
		}

		if !strings.HasPrefix(s[p.Offset:], p.Literal+p.Expression) {
			t.Errorf("%q: part %+v is not at its offset", s, p)
		}
	}

	if whole := len(text.Parts) == 1 && text.Parts[0].Expression != ""; whole != text.Standalone {
		t.Errorf("%q: standalone is %t", s, text.Standalone)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range parseCases() {
		f.Add(c.text)
	}

	f.Fuzz(func(t *testing.T, s string) {
		text, err := template.Parse(s)
		if err == nil {
			check(t, s, text)

			return
		}

		var located *template.Error
		if !errors.As(err, &located) || located.Offset < 0 || located.Offset > len(s) {
			t.Errorf("Parse(%q): the error %v has no place in it: %+v", s, err, located)
		}
	})
}

// FuzzParseTakesEveryExpressionWhole asks the expression language's own parser which sources are sound.
func FuzzParseTakesEveryExpressionWhole(f *testing.F) {
	judge, err := parser.NewParser()
	if err != nil {
		f.Fatal(err)
	}

	for _, c := range parseCases() {
		for _, p := range c.want.Parts {
			f.Add(p.Expression)
		}
	}

	f.Fuzz(func(t *testing.T, source string) {
		if len(source) > 200 {
			return // the other parser takes long to give up
		}

		if _, problems := judge.Parse(common.NewTextSource(source)); len(problems.GetErrors()) > 0 {
			return // no expression
		}

		// A comment may be last: it ends with the line.
		source += "\n"

		got, err := template.Parse("${" + source + "}")
		if err != nil {
			t.Fatalf("Parse refuses %q: %v", source, err)
		}

		if diff := cmp.Diff(standalone(source), got); diff != "" {
			t.Errorf("%q: -want +got\n%s", source, diff)
		}
	})
}

// The expressions have braces, quotes and delimiters in them, and stand between literals that have some, too.
func TestSection16EveryExpressionOfATextIsFound(t *testing.T) {
	t.Parallel()

	operands := []string{
		"a", `"}"`, `'}'`, `"it's ${b}"`, `'say "'`, `'''"'}\''{'''`, "\"\"\"\n}'\"\"\"", `r'\'`, `br"{\"`, `b'\'}'`,
		`{"k": {'}': 1}}.k`, "a.`b//c`", "a // it's ${ } \"\n", "''", `""`, `"\\"`,
	}
	literals := []string{"", "-", "it's ", `"`, "}", "$", "{", "//", "\n", "é"}

	rapid.Check(t, func(t *rapid.T) {
		var (
			b    strings.Builder
			want []string
		)

		for range rapid.IntRange(1, 4).Draw(t, "expressions") {
			source := strings.Join(rapid.SliceOfN(rapid.SampledFrom(operands), 1, 4).Draw(t, "operands"), " + ")
			b.WriteString(rapid.SampledFrom(literals).Draw(t, "literal") + "${" + source + "}")
			want = append(want, source)
		}

		b.WriteString(rapid.SampledFrom(literals).Draw(t, "last literal"))
		s := b.String()

		text, err := template.Parse(s)
		if err != nil {
			t.Fatalf("Parse(%q): %v", s, err)
		}

		var got []string

		for _, p := range text.Parts {
			if p.Expression != "" {
				got = append(got, p.Expression)
			}
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: -want +got\n%s", s, diff)
		}

		if written(text) != s {
			t.Errorf("%q is put together again as %q", s, written(text))
		}
	})
}
