package postgres

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
)

// oddText is one that something on its way may stumble over.
func oddText(r *rand.Rand) string {
	pieces := []string{
		"'", "''", `"`, `\`, `\\`, `\'`, `\n`, "\n", "\r", "\r\n", "\t", "\v", "\f", "\x01", "\x1f", "\x7f", "\x00", "\xff", "\xc3", "\u0080", "\u00a0", "ä", "\u6f22",
		"🔑", "\u202e", "\ufeff", "\uffff", "\U0010ffff", "$$", "$1", "%", "%%", "%s", "#", ";", ";--", "--", "/*", "*/", "E'", "U&'", "{", "}", ",", ", ", "=", " = ", "NULL",
		"DEFAULT", "on", "0", "-1", "1e400", "64MB", " ", "  ", "'; ALTER ROLE odd SUPERUSER; --", `\'; ALTER ROLE odd SUPERUSER; --`, "' + '", "'||'", "a", "Z", "é", "e\u0301",
		"include 'x'", "@", "~", "`", "$(id)", "${HOME}", "&", "<", ">", "|", "!", "?",
	}

	var b strings.Builder

	for range r.IntN(12) {
		switch r.IntN(10) {
		case 0:
			b.WriteRune(rune(r.IntN(0x3000)))
		case 1:
			b.WriteByte(byte(r.IntN(256)))
		default:
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
	}

	text := b.String()
	if r.IntN(200) == 0 {
		text = strings.Repeat(text+"'\\", 400)
	}

	return text
}

func seeded(t *testing.T) *rand.Rand {
	t.Helper()

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)

	return rand.New(rand.NewPCG(seed, 0))
}

// Ten thousand in all, with the next test: each is refused before or comes out as it went in, and nothing else happens.
func TestOddTextsForARoleComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()

	const batches, size = 43, 200

	w := own(t, localstore.PostgresOptions{})
	password := w.role("odd")
	r := seeded(t)
	accepted := 0

	for range batches {
		var settings []live.Setting
		for i := range size {
			settings = append(settings, live.Setting{Role: "odd", Name: fmt.Sprintf("odd.t%d", i)})
		}

		var changes []live.Change

		for _, state := range w.read(settings...) {
			text := oddText(r)
			if change := set(state.Setting, text); state.Rule.Check(text) == nil {
				changes = append(changes, change)
			} else if _, err := compose([]live.Change{change}, salted); err == nil {
				t.Errorf("%q is refused by the rule and would be sent all the same", text)
			}
		}

		if err := w.session.Apply(t.Context(), changes); err != nil {
			t.Fatal(err)
		}

		asked := make([]live.Setting, len(changes))
		for i, change := range changes {
			asked[i] = change.Setting
		}

		shown := w.shownTo("odd", password)

		for i, state := range w.read(asked...) {
			want := changes[i].To.Text
			if state.Stored != live.Text(want) || !state.Rule.Same(state.Stored.Text, want) || shown[state.Setting.Name] != want {
				t.Errorf("%q is stored as %q and is %q in a new session", want, state.Stored.Text, shown[state.Setting.Name])
			}
		}

		accepted += len(changes)
	}

	if accepted < batches*size/2 {
		t.Errorf("only %d of %d texts were accepted", accepted, batches*size)
	}

	w.untouched()
}

// shownTo are the odd settings that a new session of a role has.
func (w *world) shownTo(role, password string) map[string]string {
	w.t.Helper()

	c, err := w.login(role, password)
	if err != nil {
		w.t.Fatal(err)
	}

	defer func() { _ = c.Close(w.t.Context()) }()

	rows, err := c.Query(w.t.Context(), "SELECT 'odd.t' || n, current_setting('odd.t' || n, true) FROM generate_series(0, 199) n")
	if err != nil {
		w.t.Fatal(err)
	}

	shown := map[string]string{}

	var name string

	var value *string

	if _, err := pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		if value != nil {
			shown[name] = *value
		}

		return nil
	}); err != nil {
		w.t.Fatal(err)
	}

	return shown
}

// untouched says that nobody was let in through a text.
func (w *world) untouched() {
	w.t.Helper()

	var super bool
	if err := w.client().QueryRow(w.t.Context(), "SELECT rolsuper FROM pg_roles WHERE rolname = 'odd'").Scan(&super); err != nil || super {
		w.t.Errorf("the role is a superuser: %t (%v)", super, err)
	}
}

func TestOddTextsForTheServerComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	w.role("odd")

	names := []string{
		"log_line_prefix", "syslog_ident", "log_filename", "archive_command", "restore_command", "archive_cleanup_command", "recovery_end_command",
		"ssl_passphrase_command", "ssl_crl_file", "promote_trigger_file",
	}
	r := seeded(t)
	accepted, rounds := 0, 150

	for range rounds {
		var changes []live.Change

		for _, state := range w.read(settingsOf(names)...) {
			if text := oddText(r); state.Rule.Check(text) == nil {
				changes = append(changes, set(state.Setting, text))
			}
		}

		if err := w.session.Apply(t.Context(), changes); err != nil {
			t.Fatal(err)
		}

		asked := make([]live.Setting, len(changes))
		for i, change := range changes {
			asked[i] = change.Setting
		}

		for i, state := range w.read(asked...) {
			if want := changes[i].To; state.Stored != want || state.Running != want {
				t.Errorf("%s: %q is stored as %q and runs as %q", state.Setting.Name, want.Text, state.Stored.Text, state.Running.Text)
			}
		}

		accepted += len(changes)
	}

	if accepted < rounds*len(names)/2 {
		t.Errorf("only %d of %d texts were accepted", accepted, rounds*len(names))
	}

	w.untouched()

	var lines int
	if err := w.client().QueryRow(t.Context(),
		"SELECT count(*) FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf' AND NOT name = ANY($1)", names).Scan(&lines); err != nil || lines != 0 {
		t.Errorf("%d other settings were written (%v)", lines, err)
	}
}
