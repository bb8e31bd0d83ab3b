package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

func accepts(t *testing.T, s *session, role, password string) bool {
	t.Helper()

	accepted, err := s.Accepts(t.Context(), role, password)
	if err != nil {
		t.Fatal(err)
	}

	return accepted
}

func TestAPasswordIsTheOneForNewLoginsAndOpenSessionsLiveOn(t *testing.T) {
	t.Parallel()

	w := shared(t)
	former := w.role("rotated")
	s := live.Setting{Role: "rotated", Password: true}

	open, err := w.login("rotated", former)
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = open.Close(t.Context()) }()

	before := w.read(s)[0]
	if !before.Rule.Same(before.Stored.Text, former) || before.Hidden || before.NoUnset {
		t.Errorf("got %+v", before)
	}

	for _, password := range []string{`it's a "new" one; \ --`, "Käse", "пароль", "md5", "a\tb", strings.Repeat("long", 100)} {
		w.apply(set(s, password))

		state := w.read(s)[0]
		if !state.Rule.Same(state.Stored.Text, password) || !strings.HasPrefix(state.Stored.Text, "SCRAM-SHA-256$4096:") {
			t.Errorf("the verifier of %q is not stored: %+v", password, state)
		}

		if !accepts(t, w.session, "rotated", password) || accepts(t, w.session, "rotated", former) {
			t.Errorf("not %q is the password", password)
		}
	}

	if err := open.Ping(t.Context()); err != nil {
		t.Errorf("the open session: %v", err)
	}

	// Back to the former one, by its verifier.
	w.apply(live.Change{Setting: s, To: before.Stored, Raw: true})

	if !accepts(t, w.session, "rotated", former) {
		t.Error("the former password is not the password again")
	}

	w.apply(live.Change{Setting: s, Raw: true})

	if state := w.one(s); state.Stored.Set || accepts(t, w.session, "rotated", former) {
		t.Errorf("got %+v, want no password", state)
	}
}

// The server itself makes the same of a password.
func TestAVerifierOfTheServerIsRecognised(t *testing.T) {
	t.Parallel()

	w := shared(t)
	s := live.Setting{Role: "by the server", Password: true}
	w.role(s.Role)

	for _, encryption := range []string{"scram-sha-256", "md5"} {
		for _, password := range []string{"plain", "Käse", "пароль", "a\x01b", "סיסמה", "🔑"} {
			c := w.client()
			for _, statement := range []string{
				"SET password_encryption = '" + encryption + "'", `ALTER ROLE "by the server" PASSWORD ` + literal(password),
			} {
				if _, err := c.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}

			state := w.read(s)[0]
			if !state.Rule.Same(state.Stored.Text, password) || state.Rule.Same(state.Stored.Text, password+"x") {
				t.Errorf("%s of %q is not recognised", encryption, password)
			}
		}
	}
}

func TestNoPasswordIsInTheServersLog(t *testing.T) {
	t.Parallel()

	const canary, wrong = "canary4711", "canary0815"

	w := own(t, localstore.PostgresOptions{Lines: []string{"log_statement = all", "log_min_duration_statement = 0", "log_min_error_statement = debug5"}})
	w.role("logged")

	s := live.Setting{Role: "logged", Password: true}
	w.apply(set(s, canary))

	if accepts(t, w.session, "logged", wrong) || !accepts(t, w.session, "logged", canary) {
		t.Error("not the right password is accepted")
	}

	err := w.session.Apply(t.Context(), []live.Change{set(live.Setting{Role: "nobody at all", Password: true}, canary)})
	if r := refused(t, err); strings.Contains(r.Error(), canary) {
		t.Errorf("got %v", r)
	}

	log := w.log()
	if strings.Contains(log, canary) || strings.Contains(log, wrong) {
		t.Error("a password is in the log")
	}

	if !strings.Contains(log, `ALTER ROLE "logged" PASSWORD 'SCRAM-SHA-256$`) {
		t.Error("the log does not have the statement at all")
	}
}

func TestARefusedPasswordTouchesNothing(t *testing.T) {
	t.Parallel()

	w := shared(t)
	former := w.role("steady")
	s := live.Setting{Role: "steady", Password: true}

	for name, change := range map[string]live.Change{
		"a malformed verifier": {Setting: s, To: live.Text("SCRAM-SHA-256$4096:short$a:b"), Raw: true},
		"a second one":         {Setting: s, To: live.Text("x"), Keep: true},
		"an empty one":         {Setting: s, To: live.Text("")},
	} {
		if r := refused(t, w.session.Apply(t.Context(), []live.Change{change})); r.Setting != s {
			t.Errorf("%s: got %v", name, r)
		}
	}

	if !accepts(t, w.session, "steady", former) {
		t.Error("the password is another one")
	}
}

// Two roles take turns: while one gets a new password, everybody is logged in as the other.
func TestTwoRolesTakeTurnsWithoutAGap(t *testing.T) {
	t.Parallel()

	w := shared(t)
	passwords := map[string]string{"turn a": w.role("turn a"), "turn b": w.role("turn b")}
	current := "turn a"

	for round := range 6 {
		next := "turn b"
		if current == next {
			next = "turn a"
		}

		former, password := passwords[next], "round "+strings.Repeat("x", round)
		w.apply(set(live.Setting{Role: next, Password: true}, password))
		passwords[next] = password

		if !accepts(t, w.session, current, passwords[current]) {
			t.Errorf("round %d: %s has lost its password", round, current)
		}

		if !accepts(t, w.session, next, password) || accepts(t, w.session, next, former) {
			t.Errorf("round %d: %s does not have its new password alone", round, next)
		}

		current = next
	}
}

func TestWhetherAPasswordIsRightIsSaidOnlyWhenItIsKnown(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	password := w.role("outside")
	w.admin("CREATE ROLE nologin PASSWORD 'p'", "CREATE DATABASE closed", "REVOKE CONNECT ON DATABASE closed FROM PUBLIC", "CREATE ROLE trusted LOGIN")

	target := w.target()
	target.Database = "closed"

	if !accepts(t, w.open(target), "outside", password) || accepts(t, w.open(target), "outside", "wrong") {
		t.Error("that somebody may not use the database says nothing of his password")
	}

	if accepts(t, w.session, "nosuch", "p") {
		t.Error("a role that is not there has a password")
	}

	if accepted, err := w.session.Accepts(t.Context(), "nologin", "p"); err == nil || accepted {
		t.Errorf("a role that may not log in: got %t and %v, want an error", accepted, err)
	}

	hba := w.Data() + "/pg_hba.conf"
	prepend(t, hba, "host all trusted 127.0.0.1/32 trust\n")
	w.admin("SELECT pg_reload_conf()")
	w.apply(set(param("work_mem"), "5MB")) // when this is in force that is too

	if accepted, err := w.session.Accepts(t.Context(), "trusted", "whatever"); err == nil || accepted {
		t.Errorf("a server that asks for no password: got %t and %v, want an error", accepted, err)
	}

	if err := w.Kill(); err != nil {
		t.Fatal(err)
	}

	if accepted, err := w.session.Accepts(t.Context(), "outside", password); err == nil || accepted {
		t.Errorf("a server that is down: got %t and %v, want an error", accepted, err)
	}
}

func TestALoginThatFailsIsToldFromAServerThatIsNotThere(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	w.admin("CREATE ROLE nologin PASSWORD 'p'")

	const canary = "canary of a password"

	for name, change := range map[string]func(*store.Target){
		"a wrong password":         func(t *store.Target) { t.Password = canary },
		"no such user":             func(t *store.Target) { t.Username = "nobody at all" },
		"no such database":         func(t *store.Target) { t.Database = "nosuch" },
		"a user who may not":       func(t *store.Target) { t.Username, t.Password = "nologin", "p" },
		"no password":              func(t *store.Target) { t.Password = "" },
		"no user":                  func(t *store.Target) { t.Username = "" },
		"a user with a NUL in him": func(t *store.Target) { t.Username = "a\x00b" },
	} {
		target := w.target()
		change(&target)

		_, err := Driver().Open(t.Context(), target)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: got %v", name, err)
		}

		if login := errors.Is(err, store.ErrLogin); !login && name != "a user with a NUL in him" {
			t.Errorf("%s: got %v, want a failed login", name, err)
		}

		if _, leaks := errors.AsType[*pgconn.PgError](err); leaks {
			t.Errorf("%s: the server's own words come through: %v", name, err)
		}
	}

	if err := w.Kill(); err != nil {
		t.Fatal(err)
	}

	if _, err := Driver().Open(t.Context(), w.target()); err == nil || errors.Is(err, store.ErrLogin) {
		t.Errorf("a server that is not there: got %v", err)
	}
}
