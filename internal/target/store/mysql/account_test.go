package mysql

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// accountServer has a log of all statements.
func accountServer(t *testing.T) (*localstore.MariaDB, *session) {
	t.Helper()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{
		Password: "x", Args: []string{"--general-log=1", "--general-log-file=general.log", "--log-bin=bin"},
	})

	return m, dial(t, target(m))
}

func password(role, text string, keep bool) live.Change {
	return live.Change{Setting: live.Setting{Role: role, Password: true}, To: live.Text(text), Keep: keep}
}

func apply(t *testing.T, s *session, changes ...live.Change) {
	t.Helper()
	if err := s.Check(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

// accepted are those of the passwords that a login takes.
func accepted(t *testing.T, s *session, role string, passwords ...string) []string {
	t.Helper()
	var all []string
	for _, password := range passwords {
		ok, err := s.Accepts(t.Context(), role, password)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			all = append(all, password)
		}
	}

	return all
}

func TestAPasswordIsSwappedKeptRetiredAndPutBack(t *testing.T) {
	t.Parallel()
	m, s := accountServer(t)
	db := admin(t, m)
	const a, b, c = "canary a'\\\"", "canary b ä😀", "canary c"
	exec(t, db, "CREATE USER app IDENTIFIED VIA mysql_native_password USING '"+native(t, a)+"' REQUIRE NONE WITH MAX_USER_CONNECTIONS 7 ACCOUNT UNLOCK")
	setting := live.Setting{Role: "app", Password: true}
	check := func(when string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, accepted(t, s, "app", a, b, c)); diff != "" {
			t.Errorf("%s, accepted (-want +got):\n%s", when, diff)
		}
		state := read(t, s, setting)[0]
		for _, text := range []string{a, b, c} {
			if same := state.Rule.Same(state.Stored.Text, text); same != strings.Contains(strings.Join(want, "|"), text) {
				t.Errorf("%s, what is stored is the same as %q: %t", when, text, same)
			}
		}
	}
	check("at first", a)
	apply(t, s, password("app", b, true))
	check("kept", a, b)
	two := read(t, s, setting)[0].Stored
	apply(t, s, password("app", c, true))
	check("kept again", b, c)
	apply(t, s, live.Change{Setting: setting, To: two, Raw: true})
	check("put back", a, b)
	if err := s.Retire(t.Context(), "app", b); err != nil {
		t.Fatal(err)
	}
	check("retired", b)
	before := value(t, db, "SELECT Priv FROM mysql.global_priv WHERE User = 'app'")
	if err := s.Retire(t.Context(), "app", b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, value(t, db, "SELECT Priv FROM mysql.global_priv WHERE User = 'app'")); diff != "" {
		t.Errorf("retired again (-before +after):\n%s", diff)
	}
	apply(t, s, password("app", c, false))
	check("swapped", c)
	if got := value(t, db, "SELECT JSON_VALUE(Priv, '$.max_user_connections') FROM mysql.global_priv WHERE User = 'app'"); got != "7" {
		t.Errorf("the account's limit became %q", got)
	}
	exec(t, db, "FLUSH LOGS")
	if logged(t, m, "canary") {
		t.Error("the server's log has a password")
	}
}

func native(t *testing.T, password string) string {
	t.Helper()
	w, err := verifier(pluginNative, password)
	if err != nil {
		t.Fatal(err)
	}

	return w.with
}

func TestAHundredRotationsLockNobodyOutAndLeaveTheLast(t *testing.T) {
	t.Parallel()
	m, s := accountServer(t)
	exec(t, admin(t, m), "CREATE USER app IDENTIFIED VIA mysql_native_password USING '"+native(t, "password 0")+"'")
	for i := 1; i <= 100; i++ {
		former, next := fmt.Sprintf("password %d", i-1), fmt.Sprintf("password %d", i)
		apply(t, s, password("app", next, true))
		if diff := cmp.Diff([]string{former, next}, accepted(t, s, "app", former, next)); diff != "" {
			t.Fatalf("accepted (-want +got):\n%s", diff)
		}
	}
	if err := s.Retire(t.Context(), "app", "password 100"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"password 100"}, accepted(t, s, "app", "password 98", "password 99", "password 100")); diff != "" {
		t.Errorf("accepted (-want +got):\n%s", diff)
	}
}

func TestAnAccountKeepsItsPluginAndItsWaysWithoutAPassword(t *testing.T) {
	t.Parallel()
	m, s := accountServer(t)
	db := admin(t, m)
	exec(
		t, db, "INSTALL SONAME 'auth_ed25519'", "CREATE USER ed IDENTIFIED VIA ed25519 USING PASSWORD('old')",
		"CREATE USER socket IDENTIFIED VIA unix_socket OR mysql_native_password USING 'invalid'", "CREATE USER empty",
	)
	apply(t, s, password("ed", "new", true), password("socket", "new", false), password("empty", "new", true))
	for role, want := range map[string]string{
		"ed":     "ed25519 USING '*' OR ed25519 USING '*'",
		"socket": "mysql_native_password USING '*' OR unix_socket",
		"empty":  "mysql_native_password USING '*'",
	} {
		stored := read(t, s, live.Setting{Role: role, Password: true})[0].Stored.Text
		all, err := parseWays(stored)
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			if all[i].with != "" {
				all[i].with = "*"
			}
		}
		if diff := cmp.Diff(want, all.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", role, diff)
		}
		if diff := cmp.Diff([]string{"new"}, accepted(t, s, role, "new")); diff != "" {
			t.Errorf("%s, accepted (-want +got):\n%s", role, diff)
		}
	}
	// The client in use does not take part in a third exchange, so what is stored tells.
	if diff := cmp.Diff([]string{"old"}, accepted(t, s, "ed", "old", "wrong")); diff != "" {
		t.Errorf("accepted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string(nil), accepted(t, s, "empty", "", "wrong")); diff != "" {
		t.Errorf("accepted (-want +got):\n%s", diff)
	}
}

// This is why no more than two passwords are kept.
func TestAClientForGoDoesNotGetToTheThirdPassword(t *testing.T) {
	t.Parallel()
	m, s := accountServer(t)
	exec(t, admin(t, m), fmt.Sprintf("CREATE USER app IDENTIFIED VIA %s", ways{
		{pluginNative, native(t, "a")}, {pluginNative, native(t, "b")}, {pluginNative, native(t, "c")},
	}))
	for password, want := range map[string]bool{"a": true, "b": true, "c": false} {
		_, err := s.login(t.Context(), "app", password)
		if got := err == nil; got != want {
			t.Errorf("%s is accepted: %v", password, err)
		}
	}
}

func TestALoginThatIsAnotherAccountIsJudgedByWhatIsStored(t *testing.T) {
	t.Parallel()
	m, s := accountServer(t)
	exec(
		t, admin(t, m), "CREATE USER app@'%' IDENTIFIED BY 'everywhere'", "CREATE USER app@'127.0.0.1' IDENTIFIED BY 'here'",
		"CREATE USER far@'10.0.0.%' IDENTIFIED BY 'away'",
	)
	cases := map[string]struct {
		role, password string
		want           bool
	}{
		"from here":                           {"app@127.0.0.1", "here", true},
		"from here, the password of all":      {"app@127.0.0.1", "everywhere", false},
		"from elsewhere":                      {"far@10.0.0.%", "away", true},
		"from elsewhere, with a wrong one":    {"far@10.0.0.%", "here", false},
		"the password of here, of all others": {"app", "here", false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := s.Accepts(t.Context(), test.role, test.password)
			if err != nil || got != test.want {
				t.Errorf("got %t and %v, want %t", got, err, test.want)
			}
		})
	}
}

func TestAPasswordThatTheServerWillNotTakeIsRefusedWithAReason(t *testing.T) {
	t.Parallel()
	m, s := accountServer(t)
	db := admin(t, m)
	exec(
		t, db, "CREATE USER app IDENTIFIED BY 'x'", "INSTALL SONAME 'auth_ed25519'", "CREATE USER ed IDENTIFIED VIA ed25519 USING PASSWORD('x')",
		"CREATE USER gone IDENTIFIED BY 'x'", "CREATE USER old IDENTIFIED VIA mysql_old_password USING '0123456789abcdef'",
	)
	refusal := func(c live.Change, want string) {
		t.Helper()
		err := s.Apply(t.Context(), []live.Change{c})
		refused, ok := errors.AsType[*store.RefusedError](err)
		if !ok || refused.Setting != c.Setting || !strings.Contains(refused.Reason, want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v, want a refusal with %q", err, want)
		}
	}
	refusal(password("nobody", "canary", false), "has no account")
	if p := read(t, s, live.Setting{Role: "old", Password: true})[0].Problem; p == nil || p.Cause != live.CauseFixed || !strings.Contains(p.Message, "mysql_old_password") {
		t.Errorf("got %v, want the plugin named", p)
	}
	refusal(password("old", "canary", false), "mysql_old_password")
	exec(t, db, "INSTALL SONAME 'simple_password_check'")
	refusal(password("app", "canary", false), "strict_password_validation")
	exec(t, db, "UNINSTALL SONAME 'simple_password_check'", "UNINSTALL SONAME 'auth_ed25519'")
	refusal(password("ed", "canary", false), "plugin that the server has not loaded")
}

func TestThePasswordByWhichWeAreLoggedInCanBeChanged(t *testing.T) {
	t.Parallel()
	m, _ := accountServer(t)
	db := admin(t, m)
	exec(t, db, "CREATE USER we IDENTIFIED BY 'old'", "GRANT ALL ON *.* TO we")
	target := target(m)
	target.Username, target.Password = "we", "old"
	s := dial(t, target)
	apply(t, s, password("we", "new", false), to("connect_timeout", "20"))
	if got := read(t, s, variables("connect_timeout")...)[0].Stored.Text; got != "20" {
		t.Errorf("got %s: the session that was open is not", got)
	}
	if _, err := Driver().Open(t.Context(), target); !errors.Is(err, store.ErrLogin) {
		t.Errorf("got %v, want the former password not to be taken any more", err)
	}
	target.Password = "new"
	dial(t, target)
	// The session's connections end with the server, and new ones have the former password.
	if err := m.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), variables("port")); !errors.Is(err, store.ErrLogin) || strings.Contains(err.Error(), "old") {
		t.Errorf("got %v, want a login that is not taken", err)
	}
}
