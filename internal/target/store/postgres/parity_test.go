package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
)

// sets has the server set a parameter for the length of a statement, and returns what it shows, in its base unit.
func sets(t *testing.T, c *pgx.Conn, name, text string) (shown string, ok bool) {
	t.Helper()

	err := pgx.BeginFunc(t.Context(), c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SELECT set_config($1, $2, true)", name, text); err != nil {
			return err
		}

		return tx.QueryRow(t.Context(), "SELECT setting FROM pg_settings WHERE name = $1", name).Scan(&shown)
	})

	refused, isRefused := errors.AsType[*pgconn.PgError](err)
	if err != nil && (!isRefused || refused.Code != "22023") {
		t.Fatalf("set %s to %q: %v", name, text, err)
	}

	return shown, err == nil
}

// takes says whether the server takes a value for all sessions, without its being put into force.
func takes(t *testing.T, c *pgx.Conn, name, text string) bool {
	t.Helper()

	_, err := c.Exec(t.Context(), "ALTER SYSTEM SET "+identifier(name)+" TO "+literal(text))

	refused, isRefused := errors.AsType[*pgconn.PgError](err)
	if err != nil && (!isRefused || refused.Code != "22023") {
		t.Fatalf("set %s to %q: %v", name, text, err)
	}

	return err == nil
}

// numbers are texts that are numbers, or nearly.
func numbers() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		text := rapid.SampledFrom([]string{"", "", "", " ", "\t", "-", "+", "+ "}).Draw(t, "sign")
		text += rapid.OneOf(
			rapid.StringMatching(`[0-9]{1,5}`), rapid.StringMatching(`[0-9]{1,12}`), rapid.StringMatching(`0x[0-9a-fA-F]{0,6}`), rapid.StringMatching(`0[0-9]{1,4}`),
			rapid.StringMatching(`[0-9]{0,4}\.[0-9]{0,4}`), rapid.StringMatching(`[0-9]{0,3}(\.[0-9]{0,2})?[eE][+-]?[0-9]{0,2}`),
			rapid.SampledFrom([]string{"", ".", "inf", "nan", "1e400", "1e-400", "99999999999999999999", "2147483647", "2147483648", "0x1.8p3", "1_000"}),
		).Draw(t, "digits")
		text += rapid.SampledFrom([]string{"", "", " ", "\n"}).Draw(t, "blank")
		text += rapid.SampledFrom([]string{
			"", "", "B", "kB", "MB", "GB", "TB", "us", "ms", "s", "min", "h", "d", "KB", "mb", "m", "sec", "e", "8kB", "kBx", "k B", "ms s",
		}).Draw(t, "unit")

		return text + rapid.SampledFrom([]string{"", "", " ", "\v", ","}).Draw(t, "end")
	})
}

// What our rule takes the server takes, and makes the same of it; what it refuses the server refuses.
func TestNumbersAreReadAsTheServerReadsThem(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	local := []string{
		"work_mem", "temp_buffers", "lock_timeout", "random_page_cost", "vacuum_cost_delay", "extra_float_digits",
		"gin_pending_list_limit", "cursor_tuple_fraction", "effective_cache_size", "log_parameter_max_length",
	}
	system := []string{"checkpoint_timeout", "log_rotation_age", "max_wal_size", "bgwriter_lru_multiplier", "track_activity_query_size"}

	rules := map[string]live.Rule{}
	for _, state := range w.read(settingsOf(append(system, local...))...) {
		rules[state.Setting.Name] = state.Rule
	}

	c := w.client()

	rapid.Check(t, func(r *rapid.T) {
		name, text := rapid.SampledFrom(system).Draw(r, "name"), numbers().Draw(r, "text")
		if rapid.IntRange(0, 3).Draw(r, "local") > 0 {
			name = rapid.SampledFrom(local).Draw(r, "local name")
		}

		ours := rules[name].Check(text)

		if slices.Contains(system, name) {
			if accepted := !strings.Contains(text, "\n") && takes(t, c, name, text); (ours == nil && !strings.Contains(text, "\n")) != accepted {
				r.Fatalf("%s = %q: we say %v, the server accepts it: %t", name, text, ours, accepted)
			}

			return
		}

		shown, accepted := sets(t, c, name, text)
		if (ours == nil) != accepted {
			r.Fatalf("%s = %q: we say %v, the server accepts it: %t", name, text, ours, accepted)
		}

		// Real numbers are shown with six digits.
		rule := rules[name].(numberRule)
		if value, err := number(text, rule.base, rule.whole); accepted && !rule.Same(shown, text) && (rule.whole || err != nil || printed(value) != shown) {
			r.Fatalf("%s = %q: the server makes it %s", name, text, shown)
		}
	})
}

func settingsOf(names []string) []live.Setting {
	settings := make([]live.Setting, len(names))
	for i, name := range names {
		settings[i] = param(name)
	}

	return settings
}

func TestWordsAreReadAsTheServerReadsThem(t *testing.T) {
	t.Parallel()

	w := own(t, localstore.PostgresOptions{})
	c := w.client()

	rows, err := c.Query(t.Context(), "SELECT name FROM pg_settings WHERE vartype IN ('bool', 'enum') AND context IN ('user', 'superuser') AND name NOT LIKE 'transaction%'")
	if err != nil {
		t.Fatal(err)
	}

	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}

	words := []string{
		"on", "ON", "off", "of", "o", "true", "t", "tr", "TRUE", "false", "f", "yes", "y", "no", "n", "1", "0", "2", "", " on", "on ", "auto", "debug", "DEBUG5", "log",
		"Local", "none", "iso_8601", "x",
	}
	// Of wal_compression on is a word for another one; see the test of forms.
	differences := map[string]bool{}

	for _, state := range w.read(settingsOf(names)...) {
		name := state.Setting.Name

		for _, word := range words {
			shown, accepted := sets(t, c, name, word)

			ours := state.Rule.Check(word) == nil
			if ours != accepted {
				differences[fmt.Sprintf("%s=%s", name, word)] = true
			}

			if ours && accepted && name != "wal_compression" && !state.Rule.Same(shown, word) {
				t.Errorf("%s = %q: the server makes it %s", name, word, shown)
			}
		}
	}

	if len(differences) != 0 {
		t.Errorf("we and the server differ about %v", differences)
	}
}
