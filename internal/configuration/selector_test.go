package configuration_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/configuration"
)

func TestSelector_Section17(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		requirements []string
		want         string
	}{
		"nothing selects everything":                 {nil, ""},
		"key=value stays":                            {[]string{"env=prod"}, "env=prod"},
		"key:value is key=value":                     {[]string{"env:prod"}, "env=prod"},
		"key:* is a key that exists":                 {[]string{"env:*"}, "env"},
		"key=* is a key that exists":                 {[]string{"env=*"}, "env"},
		"a bare key exists":                          {[]string{"env"}, "env"},
		"a key with a prefix":                        {[]string{"example.com/env:prod"}, "example.com/env=prod"},
		"all of a list must hold":                    {[]string{"a:1", "b=*", "!c"}, "a=1,b,!c"},
		"blanks around an item do not count":         {[]string{" a:1 ", " b "}, "a=1,b"},
		"a set that was split at its comma is whole": {[]string{"env in (a", "b)"}, "env in (a,b)"},
		"inequality stays":                           {[]string{"env!=prod"}, "env!=prod"},
		"an empty value":                             {[]string{"env:"}, "env="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s, err := configuration.Selector(tc.requirements)
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(tc.want, s.String()); diff != "" {
				t.Errorf("selector (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelector_AnInvalidOneIsQuoted(t *testing.T) {
	t.Parallel()

	_, err := configuration.Selector([]string{"a:1", "b c"})

	const want = `label selector "a=1,b c": unable to parse requirement: found 'c', expected: in, notin, =, ==, !=, gt, lt`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
