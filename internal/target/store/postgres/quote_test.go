package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

func TestAChangeBecomesOneStatement(t *testing.T) {
	t.Parallel()

	verifier, err := verifierOf("pencil", make([]byte, saltBytes), iterations)
	if err != nil {
		t.Fatal(err)
	}

	cases := map[string]struct {
		change live.Change
		want   string
	}{
		"a setting of the server": {
			live.Change{Setting: live.Setting{Name: "work_mem"}, To: live.Text("8MB")},
			`ALTER SYSTEM SET "work_mem" TO '8MB'`,
		},
		"one that is unset": {
			live.Change{Setting: live.Setting{Name: "work_mem"}},
			`ALTER SYSTEM RESET "work_mem"`,
		},
		"one of a database": {
			live.Change{Setting: live.Setting{Database: `a"b`, Name: "work_mem"}, To: live.Text("it's")},
			`ALTER DATABASE "a""b" SET "work_mem" TO 'it''s'`,
		},
		"one of a role": {
			live.Change{Setting: live.Setting{Role: "all", Name: "my.own"}, To: live.Text("a\\'b\nc")},
			"ALTER ROLE \"all\" SET \"my\".\"own\" TO E'a\\\\''b\nc'",
		},
		"one of a role in a database": {
			live.Change{Setting: live.Setting{Role: "r", Database: "d", Name: "work_mem"}},
			`ALTER ROLE "r" IN DATABASE "d" RESET "work_mem"`,
		},
		"each name of a list is a string of its own": {
			live.Change{Setting: live.Setting{Name: "Search_Path"}, To: live.Text(`"$user", "a, b", Public`)},
			`ALTER SYSTEM SET "Search_Path" TO '$user', 'a, b', 'public'`,
		},
		"an empty list is an empty string": {
			live.Change{Setting: live.Setting{Name: "search_path"}, To: live.Text("")},
			`ALTER SYSTEM SET "search_path" TO ''`,
		},
		"other lists are one string": {
			live.Change{Setting: live.Setting{Name: "listen_addresses"}, To: live.Text("a, b")},
			`ALTER SYSTEM SET "listen_addresses" TO 'a, b'`,
		},
		"a password is sent as its verifier": {
			live.Change{Setting: live.Setting{Role: "r", Password: true}, To: live.Text("pencil")},
			`ALTER ROLE "r" PASSWORD '` + verifier + `'`,
		},
		"a former password is a verifier": {
			live.Change{Setting: live.Setting{Role: "r", Password: true}, To: live.Text("md5" + strings.Repeat("0a", 16)), Raw: true},
			`ALTER ROLE "r" PASSWORD 'md5` + strings.Repeat("0a", 16) + `'`,
		},
		"a role that had no password gets none again": {
			live.Change{Setting: live.Setting{Role: "r", Password: true}, Raw: true},
			`ALTER ROLE "r" PASSWORD NULL`,
		},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			all, err := compose([]live.Change{test.change}, func(salt []byte) { clear(salt) })
			if err != nil {
				t.Fatal(err)
			}

			var got []string
			for _, s := range append(all.system, all.catalog...) {
				got = append(got, s.sql)
			}

			if diff := cmp.Diff([]string{test.want}, got); diff != "" {
				t.Errorf("compose (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPasswordsComeLast(t *testing.T) {
	t.Parallel()

	all, err := compose([]live.Change{
		{Setting: live.Setting{Role: "r", Password: true}},
		{Setting: live.Setting{Role: "r", Name: "work_mem"}},
		{Setting: live.Setting{Name: "work_mem"}},
		{Setting: live.Setting{Database: "d", Name: "work_mem"}},
	}, salted)
	if err != nil {
		t.Fatal(err)
	}

	var got []string
	for _, s := range append(all.system, all.catalog...) {
		got = append(got, s.setting.ID())
	}

	want := []string{"work_mem", "role=r/work_mem", "database=d/work_mem", "password=r"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("compose (-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeSentIsRefusedWithoutItsValue(t *testing.T) {
	t.Parallel()

	const canary = "canary"

	cases := map[string]live.Change{
		"a NUL character":              {Setting: live.Setting{Name: "a"}, To: live.Text(canary + "\x00")},
		"text that is not UTF-8":       {Setting: live.Setting{Name: "a"}, To: live.Text(canary + "\xff")},
		"a line break for the server":  {Setting: live.Setting{Name: "a"}, To: live.Text(canary + "\n")},
		"a list with an open quote":    {Setting: live.Setting{Name: "search_path"}, To: live.Text(`"` + canary)},
		"a name with a blank":          {Setting: live.Setting{Name: "a b"}, To: live.Text(canary)},
		"no name":                      {Setting: live.Setting{Name: ""}, To: live.Text(canary)},
		"a name that would be cut off": {Setting: live.Setting{Name: strings.Repeat("a", 64)}, To: live.Text(canary)},
		"a role that would be cut off": {Setting: live.Setting{Role: strings.Repeat("ä", 32), Name: "a"}, To: live.Text(canary)},
		"a database with a NUL":        {Setting: live.Setting{Database: "\x00", Name: "a"}, To: live.Text(canary)},
		"the scope of another store":   {Setting: live.Setting{Who: "global", Name: "a"}, To: live.Text(canary)},
		"an empty password":            {Setting: live.Setting{Role: "r", Password: true}, To: live.Text("")},
		"a verifier as a password":     {Setting: live.Setting{Role: "r", Password: true}, To: live.Text("md5" + strings.Repeat("ca", 16))},
		"a password as a verifier":     {Setting: live.Setting{Role: "r", Password: true}, To: live.Text(canary), Raw: true},
		"a second password":            {Setting: live.Setting{Role: "r", Password: true}, To: live.Text(canary), Keep: true},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := compose([]live.Change{change}, salted)

			refused, ok := errors.AsType[*store.RefusedError](err)
			if !ok || refused.Setting != change.Setting || strings.Contains(refused.Reason, "canary") || strings.Contains(refused.Reason, "caca") {
				t.Errorf("got %v, want a refusal without the value", err)
			}
		})
	}
}

// lex reads a literal or an identifier as the server's scanner does, and returns what is left.
func lex(sql string) (text, rest string) {
	escapes := strings.HasPrefix(sql, "E")
	sql = strings.TrimPrefix(sql, "E")
	quote := sql[0]

	var b strings.Builder

	for i := 1; i < len(sql); i++ {
		switch {
		case escapes && sql[i] == '\\':
			i++
			b.WriteByte(sql[i])
		case sql[i] == quote && i+1 < len(sql) && sql[i+1] == quote:
			i++
			b.WriteByte(quote)
		case sql[i] == quote:
			return b.String(), sql[i+1:]
		default:
			b.WriteByte(sql[i])
		}
	}

	return b.String(), "the quotes do not end"
}

func FuzzQuotesEndWhereTheyShould(f *testing.F) {
	for _, text := range []string{"", "'", `\`, `\'`, `'; DROP TABLE t; --`, "a\nb", `"`, `$$`, "\\\\''", "ä"} {
		f.Add(text)
	}

	f.Fuzz(func(t *testing.T, text string) {
		if sendable(text) != nil {
			return
		}

		for what, quoted := range map[string]string{"literal": literal(text), "identifier": identifier(text)} {
			if got, rest := lex(quoted); got != text || rest != "" {
				t.Errorf("%s(%q) = %s, which is %q and then %q", what, text, quoted, got, rest)
			}
		}

		// Without E a backslash means something else with standard_conforming_strings off.
		if quoted := literal(text); !strings.HasPrefix(quoted, "E") && strings.Contains(quoted, `\`) {
			t.Errorf("literal(%q) = %s depends on a setting", text, quoted)
		}
	})
}

func FuzzAListIsStoredAsItIsMeant(f *testing.F) {
	for _, text := range []string{"", "a", `"a, b", c`, `"$user", public`, `"a""b"`, "A b", ",", `"`} {
		f.Add(text, true)
		f.Add(text, false)
	}

	f.Fuzz(func(t *testing.T, text string, paths bool) {
		names, ok := splitNames(text, paths)
		if !ok {
			return
		}

		name := "search_path"
		if paths {
			name = "session_preload_libraries"
		}

		again, ok := splitNames(flat(name, text), paths)
		if !ok || !sameNames(names, again) {
			t.Errorf("%q is %q, and %q when it is stored", text, names, again)
		}
	})
}
