package mysql

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

func TestTextIsQuotedTheSameForEverySQLMode(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ text, want string }{
		"plain text":                       {"a b", "'a b'"},
		"nothing":                          {"", "''"},
		"quotes are doubled":               {"it's ''", "'it''s '''''"},
		"a backslash makes it hexadecimal": {`a\'`, "_utf8mb4 X'615c27'"},
		"other quotes and comments are nothing odd": {"\"`--/*;", "'\"`--/*;'"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, quoted(test.text)); diff != "" {
				t.Errorf("quoted (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzQuoted reads a literal as the server does, with and without backslashes that escape.
func FuzzQuoted(f *testing.F) {
	for _, seed := range []string{"", "a", "'", "''", `\`, `\'`, `'\`, "\x00", "\n", "ä", "\xff", "'; DROP TABLE x; --", "_utf8mb4 X'27'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, escapes := range []bool{true, false} {
			if got, rest := unquoted(quoted(text), escapes); got != text || rest != "" {
				t.Errorf("backslashes escape: %t: %q became %q with %q behind", escapes, text, got, rest)
			}
		}
		if got, rest := unquoted(escaped(text), true); got != text || rest != "" {
			t.Errorf("escaped: %q became %q with %q behind", text, got, rest)
		}
		name := identifier(text)
		inner := name[1 : len(name)-1]
		if strings.Contains(strings.ReplaceAll(inner, "``", ""), "`") || strings.ReplaceAll(inner, "``", "`") != text {
			t.Errorf("%q became the identifier %s", text, name)
		}
	})
}

// unquoted reads the literal at the begin of a statement, and returns what is behind it.
func unquoted(statement string, escapes bool) (text, rest string) {
	if digits, found := strings.CutPrefix(statement, "_utf8mb4 X'"); found {
		digits, rest, _ = strings.Cut(digits, "'")
		decoded, _ := hex.DecodeString(digits)

		return string(decoded), rest
	}
	var b strings.Builder
	for i := 1; i < len(statement); i++ {
		c := statement[i]
		next := ""
		if i+1 < len(statement) {
			next = statement[i+1 : i+2]
		}
		switch {
		case c == '\'' && next == "'", c == '\\' && escapes && next != "":
			b.WriteString(next)
			i++
		case c == '\'':
			return b.String(), statement[i+1:]
		default:
			b.WriteByte(c)
		}
	}

	return b.String(), "unterminated"
}

func TestTheServerReadsLiteralsAsWeMeanThem(t *testing.T) {
	t.Parallel()
	db := admin(t, stores.MariaDB(t))
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, mode := range []string{"", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "STRICT_ALL_TABLES"} {
		if _, err := conn.ExecContext(t.Context(), "SET SESSION sql_mode = '"+mode+"'"); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"", "a'b", `a\'b`, `\`, "\x00\n\r\x1a", "ä€", "\"`"} {
			var got string
			if err := conn.QueryRowContext(t.Context(), "SELECT "+quoted(text)).Scan(&got); err != nil || got != text {
				t.Errorf("with sql_mode %q %q became %q (%v)", mode, text, got, err)
			}
		}
	}
}
