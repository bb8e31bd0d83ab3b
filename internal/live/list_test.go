package live_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/lockstep-dev/lockstep/internal/live"
)

func TestPermit(t *testing.T) {
	t.Parallel()

	list := func(items ...string) []string { return items }

	cases := map[string]struct {
		name        string
		allow, deny []string
		want        live.Permission
	}{
		"without lists everything is open":                       {"work_mem", nil, nil, live.Open},
		"what is on the list of what may not":                    {"work_mem", nil, list("work_mem"), live.Denied},
		"what is not on the list of what may not":                {"work_mem", nil, list("wal_level"), live.Open},
		"what matches the list of what may not":                  {"ssl_key_file", nil, list("ssl_*"), live.Denied},
		"what is on both lists":                                  {"work_mem", list("work_mem"), list("work_mem"), live.Denied},
		"what is allowed by name and denied by a pattern":        {"work_mem", list("work_mem"), list("*"), live.Denied},
		"what is allowed by name":                                {"work_mem", list("wal_level", "work_mem"), nil, live.Named},
		"what is allowed by a pattern is not named":              {"work_mem", list("work_*"), nil, live.Open},
		"what is allowed by a pattern and then by name":          {"work_mem", list("work_*", "work_mem"), nil, live.Named},
		"what is allowed by name and then by a pattern":          {"work_mem", list("work_mem", "work_*"), nil, live.Named},
		"what is allowed with everything is not named":           {"work_mem", list("*"), nil, live.Open},
		"what is not on the list of what may":                    {"work_mem", list("wal_level"), nil, live.Unlisted},
		"what does not match the list of what may":               {"work_mem", list("wal_*"), nil, live.Unlisted},
		"what is on neither list":                                {"work_mem", list("wal_*"), list("ssl_*"), live.Unlisted},
		"an item is no prefix":                                   {"work_mem", nil, list("work"), live.Open},
		"names are told apart by their case":                     {"work_mem", nil, list("WORK_MEM"), live.Open},
		"a password has a name too":                              {"password=app", list("password=*"), nil, live.Open},
		"an empty item is no setting":                            {"work_mem", list(""), list(""), live.Unlisted},
		"stars in a row are one":                                 {"work_mem", nil, list("work**mem"), live.Denied},
		"a star stands for nothing too":                          {"work_mem", nil, list("work_*mem*"), live.Denied},
		"a star stands for dots and slashes":                     {"client.rgw.a/rgw_x", nil, list("client*rgw_x"), live.Denied},
		"what a star has taken is not taken again":               {"ab", nil, list("ab*b"), live.Open},
		"the end may not overlap the middle":                     {"aXa", nil, list("a*Xa*a"), live.Open},
		"the middle is found where it leaves enough for the end": {"a-b-c-b", nil, list("a*b*b"), live.Denied},
		"other signs of patterns are letters":                    {"work_mem", nil, list("work?mem", "work[_]mem", "work.mem", ".*"), live.Open},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := live.Permit(tc.name, tc.allow, tc.deny); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// matches is the reference: a pattern as a regular expression over bytes.
func matches(pattern, text string) bool {
	var expression, letters strings.Builder

	// Each byte is written as one letter: a regular expression would take several bytes for one.
	spell := func(s string) string {
		letters.Reset()

		for i := range len(s) {
			letters.WriteRune(rune(0x100) + rune(s[i]))
		}

		return letters.String()
	}

	parts := strings.Split(pattern, "*")
	for i, part := range parts {
		if i > 0 {
			expression.WriteString(`(?s:.*)`)
		}

		expression.WriteString(regexp.QuoteMeta(spell(part)))
	}

	return regexp.MustCompile(`\A` + expression.String() + `\z`).MatchString(spell(text))
}

func FuzzPatterns(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""},
		{"*", ""},
		{"**", "x"},
		{"a*b", "ab"},
		{"a*b", "a\nb"},
		{"ab*b", "ab"},
		{"*a*a*", "aa"},
		{"a*a", "a"},
		{"*é*", "\xc3\xa9"},
		{"*\xa9", "é"},
		{".*", "x"},
		{"a*b*c", "aXbYbZc"},
		{"\\*", "\\x"},
		{"a*Xa*a", "aXa"},
	} {
		f.Add(seed[0], seed[1])
	}

	f.Fuzz(func(t *testing.T, pattern, text string) {
		const most = 200 // the reference takes its time
		if len(pattern) > most || len(text) > most {
			return
		}

		want := matches(pattern, text)

		if got := live.Permit(text, nil, []string{pattern}) == live.Denied; got != want {
			t.Errorf("denied by %q, %q: %v, want %v", pattern, text, got, want)
		}

		permission := live.Permit(text, []string{pattern}, nil)
		if got := permission != live.Unlisted; got != want {
			t.Errorf("allowed by %q, %q: %v, want %v", pattern, text, got, want)
		}

		if got := permission == live.Named; got != (pattern == text) {
			t.Errorf("named by %q, %q: %v", pattern, text, got)
		}
	})
}
