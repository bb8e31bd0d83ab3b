package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestACommandLineIsSplitAsAShellDoes(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		line string
		want []string
		err  bool
	}{
		"nothing is no words":                        {line: "  "},
		"blanks separate, however many":              {line: " a  b\tc ", want: []string{"a", "b", "c"}},
		"single quotes protect everything":           {line: `'a "b\' c`, want: []string{`a "b\`, "c"}},
		"double quotes protect blanks":               {line: `"a 'b" c`, want: []string{"a 'b", "c"}},
		"quotes may stand inside a word":             {line: `--x='a b'"c d"`, want: []string{"--x=a bc d"}},
		"an empty quoted word is a word":             {line: `a '' ""`, want: []string{"a", "", ""}},
		"a backslash protects a blank":               {line: `a\ b c`, want: []string{"a b", "c"}},
		"a backslash in double quotes is mostly one": {line: `"a\n\"b\\"`, want: []string{`a\n"b\`}},
		"an open quote is an error":                  {line: `a 'b`, err: true},
		"a backslash at the end is an error":         {line: `a\`, err: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := words(c.line)
			if (err != nil) != c.err {
				t.Fatalf("words(%q): error %v, want one: %v", c.line, err, c.err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("words(%q) (-want +got):\n%s", c.line, diff)
			}
		})
	}
}
