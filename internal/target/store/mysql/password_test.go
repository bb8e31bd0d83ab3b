package mysql

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	hashX    = "*B69027D44F6E5EDC07F1AEAD1477967B16F28227" // of "x", as the server makes it
	hashA    = "*AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	hashB    = "*BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
	edSecret = "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY" // of "secret", as the server makes it
)

func TestVerifiersAreThoseOfTheServer(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		plugin, password string
		want             way
	}{
		"native":  {pluginNative, "x", way{pluginNative, hashX}},
		"ed25519": {pluginEd25519, "secret", way{pluginEd25519, edSecret}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := verifier(test.plugin, test.password)
			if err != nil || got != test.want || !got.password() {
				t.Errorf("got %v and %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestAPasswordBecomesOneOfTheWaysToLogIn(t *testing.T) {
	t.Parallel()
	const native = "mysql_native_password USING "
	cases := map[string]struct {
		have string
		keep bool
		want string
	}{
		"swap":                            {native + "'" + hashA + "'", false, native + "'" + hashX + "'"},
		"dual":                            {native + "'" + hashA + "'", true, native + "'" + hashX + "' OR " + native + "'" + hashA + "'"},
		"dual, of two":                    {native + "'" + hashA + "' OR " + native + "'" + hashB + "'", true, native + "'" + hashX + "' OR " + native + "'" + hashA + "'"},
		"dual, of what it is already":     {native + "'" + hashX + "' OR " + native + "'" + hashA + "'", true, native + "'" + hashX + "' OR " + native + "'" + hashA + "'"},
		"dual, back to the former":        {native + "'" + hashA + "' OR " + native + "'" + hashX + "'", true, native + "'" + hashX + "' OR " + native + "'" + hashA + "'"},
		"dual, of none":                   {"mysql_native_password", true, native + "'" + hashX + "'"},
		"dual, of one that is locked":     {native + "'invalid'", true, native + "'" + hashX + "'"},
		"ways without a password stay":    {"unix_socket OR " + native + "'" + hashA + "' OR pam USING 'mariadb'", false, native + "'" + hashX + "' OR unix_socket OR pam USING 'mariadb'"},
		"an account does not become weak": {"ed25519 USING '" + edSecret + "'", true, "ed25519 USING 'nUGuKE7LovSpfvDG76A9dcnBghXC3n5Obek9OHjqpSE' OR ed25519 USING '" + edSecret + "'"},
	}
	x, err := verifier(pluginEd25519, "x")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			have, err := parseWays(test.have)
			if err != nil {
				t.Fatal(err)
			}
			got, err := have.with("x", test.keep)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.ReplaceAll(test.want, "nUGuKE7LovSpfvDG76A9dcnBghXC3n5Obek9OHjqpSE", x.with)
			if diff := cmp.Diff(want, got.String()); diff != "" {
				t.Errorf("ways (-want +got):\n%s", diff)
			}
			if !got.accept("x") || got.accept("y") {
				t.Error("not exactly the password is accepted")
			}
		})
	}
}

func TestARowOfTheAccountsIsRead(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		row, want string
		role      bool
	}{
		"one way":                  {`{"access":0,"plugin":"mysql_native_password","authentication_string":"` + hashA + `"}`, "mysql_native_password USING '" + hashA + "'", false},
		"nothing said":             {`{"access":18446744073709551615}`, "mysql_native_password", false},
		"several, the main second": {`{"plugin":"mysql_native_password","authentication_string":"` + hashA + `","auth_or":[{"plugin":"unix_socket"},{}]}`, "unix_socket OR mysql_native_password USING '" + hashA + "'", false},
		"several, the main first":  {`{"plugin":"ed25519","authentication_string":"` + edSecret + `","auth_or":[{},{"plugin":"pam","authentication_string":"x"}]}`, "ed25519 USING '" + edSecret + "' OR pam USING 'x'", false},
		"a role":                   {`{"access":0,"is_role":true}`, "mysql_native_password", true},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, role, err := readWays([]byte(test.row))
			if err != nil || role != test.role {
				t.Errorf("got role %t and %v", role, err)
			}
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Errorf("ways (-want +got):\n%s", diff)
			}
		})
	}
	if _, _, err := readWays([]byte("no JSON with " + hashA)); err == nil || strings.Contains(err.Error(), hashA) {
		t.Errorf("got %v, want an error that has nothing of the row in it", err)
	}
}

// FuzzWays: what is read back is written as it was, and nothing else is read.
func FuzzWays(f *testing.F) {
	for _, seed := range []string{"", "unix_socket", "pam USING 'it''s' OR unix_socket", "a OR ", "a USING '' OR b", "a USING 'x' b", `a USING '\'`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseWays(text)
		if err != nil {
			return
		}
		again, err := parseWays(all.String())
		if err != nil || again.String() != all.String() {
			t.Errorf("%q was read as %q and then as %q (%v)", text, all, again, err)
		}
		for _, w := range all {
			if strings.Trim(w.plugin, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || strings.Contains(w.with, `\`) {
				t.Errorf("%q was read as %q", text, all)
			}
		}
	})
}
