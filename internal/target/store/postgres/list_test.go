package postgres

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAListIsTakenApartAsTheServerTakesIt(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		text  string
		paths bool
		want  []string
		wrong bool
	}{
		"nothing is an empty list":                      {text: " "},
		"names are separated by commas":                 {text: "a, b ,c", want: []string{"a", "b", "c"}},
		"names outside quotes are in lower case":        {text: `"$user", Public`, want: []string{"$user", "public"}},
		"paths keep their case and their blanks":        {text: `$libdir/My Lib , b`, paths: true, want: []string{"$libdir/My Lib", "b"}},
		"a quoted name may have a comma":                {text: `"a, b"`, want: []string{"a, b"}},
		"two quotes in quotes are one":                  {text: `"a""b"`, want: []string{`a"b`}},
		"a quoted name may be empty":                    {text: `""`, want: []string{""}},
		"a blank outside quotes ends a name":            {text: "a b", wrong: true},
		"quotes that do not end are no list":            {text: `"a`, wrong: true},
		"a comma at the end is no list":                 {text: "a,", wrong: true},
		"a comma at the beginning is no list":           {text: ",a", wrong: true},
		"something after the closing quote is no list":  {text: `"a"b`, wrong: true},
		"a comma at the end of paths is no list either": {text: "a, ", paths: true, wrong: true},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, ok := splitNames(test.text, test.paths)
			if diff := cmp.Diff(test.want, got); ok == test.wrong || diff != "" {
				t.Errorf("understood: %t; splitNames (-want +got):\n%s", ok, diff)
			}
		})
	}
}
