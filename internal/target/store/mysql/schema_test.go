package mysql

import (
	"database/sql"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// everything is all global values, by the names of the variables.
func everything(t *testing.T, db *sql.DB) map[string]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT LOWER(VARIABLE_NAME), COALESCE(GLOBAL_VALUE, '')
		FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_SCOPE <> 'SESSION ONLY'`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			t.Fatal(err)
		}
		all[name] = value
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}

	return all
}

// changeable are the states of all variables that may be changed without being allowed by name.
func changeable(t *testing.T, s *session, db *sql.DB) []live.State {
	t.Helper()
	var states []live.State
	for name := range everything(t, db) {
		state := read(t, s, live.Setting{Name: name})[0]
		if state.Problem == nil {
			states = append(states, state)
		}
	}
	if len(states) < 300 {
		t.Fatalf("only %d variables can be changed", len(states))
	}

	return states
}

// ownServer has all logs, so that nothing is refused for want of one.
func ownServer(t *testing.T) *localstore.MariaDB {
	t.Helper()

	return stores.OwnMariaDB(t, localstore.MariaDBOptions{
		Password: "x", Args: []string{"--log-bin=bin", "--innodb-log-buffer-size=1M", "--max-user-connections=1000"},
	})
}

// What a change is taken back to is what was there, so the server has to take it.
func TestEveryVariableTakesBackWhatItHas(t *testing.T) {
	t.Parallel()
	m := ownServer(t)
	s, db := dial(t, target(m)), admin(t, m)
	before := everything(t, db)
	var changes []live.Change
	for _, state := range changeable(t, s, db) {
		if state.Setting.Name == "thread_pool_size" {
			continue // is refused where there is no pool of threads
		}
		if err := state.Rule.Check(state.Stored.Text); err != nil {
			t.Errorf("%s has %q: %v", state.Setting.ID(), state.Stored.Text, err)
		}
		if !state.Rule.Same(state.Stored.Text, state.Stored.Text) {
			t.Errorf("%s: %q is not the same as itself", state.Setting.ID(), state.Stored.Text)
		}
		changes = append(changes, live.Change{Setting: state.Setting, To: state.Stored, Raw: true})
	}
	if err := s.Check(t.Context(), changes); err != nil {
		t.Error(err)
	}
	if err := s.Apply(t.Context(), changes); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, everything(t, db)); diff != "" {
		t.Errorf("all variables (-before +after):\n%s", diff)
	}
}

func TestWhatTheSchemaExcludesIsRefusedHereAndByTheServer(t *testing.T) {
	t.Parallel()
	m := ownServer(t)
	s, db := dial(t, target(m)), admin(t, m)
	for _, state := range changeable(t, s, db) {
		var outside []string
		switch r := state.Rule.(type) {
		case integer:
			one := big.NewInt(1)
			outside = append(outside, new(big.Int).Add(r.max, one).String())
			if r.min.Sign() <= 0 || lowest(state.Setting.Name) == "" {
				outside = append(outside, new(big.Int).Sub(r.min, one).String())
			}
			if n, _ := wholeNumber(state.Stored.Text); r.block > 1 {
				outside = append(outside, n.Add(n, one).String())
			}
		case decimal:
			outside = []string{"-1", "999999999999"}
		case boolean:
			outside = []string{"2", "yes"}
		case choice, members:
			outside = []string{"nosuch", "99"}
		case flags:
			outside = []string{"nosuch=on", "mrr=maybe"}
		}
		for _, text := range outside {
			if state.Rule.Check(text) == nil {
				t.Errorf("%s takes %s", state.Setting.ID(), text)
			}
			// One above the largest number of 64 bits is silently made that number, even in strict mode.
			if s.Check(t.Context(), []live.Change{{Setting: state.Setting, To: live.Text(text)}}) == nil && text != "18446744073709551616" {
				t.Errorf("the server takes %s for %s", text, state.Setting.ID())
			}
		}
	}
}

// samples are texts of which a variable may be any.
func samples(state live.State) []string {
	switch r := state.Rule.(type) {
	case boolean:
		return []string{"ON", "OFF"}
	case choice:
		return slices.DeleteFunc(slices.Clone(r.words), func(w string) bool { return w == r.never })
	case members:
		return append([]string{strings.Join(r.words, ",")}, r.words...)
	case decimal:
		return []string{r.low, "1.5"}
	case integer:
		n, _ := wholeNumber(state.Stored.Text)
		block := big.NewInt(r.block)

		return []string{r.min.String(), new(big.Int).Add(n, block).String(), new(big.Int).Sub(n, block).String()}
	default:
		return nil
	}
}

// views are variables that show another one in other words. Setting one is setting the other.
func views() [][]string {
	return [][]string{
		{"binlog_expire_logs_seconds", "expire_logs_days"},
		{"log_queries_not_using_indexes", "log_slow_filter"},
		{"log_slow_admin_statements", "log_slow_disabled_statements", "log_slow_slave_statements"},
		{"max_join_size", "sql_big_selects"},
		{"min_examined_row_limit", "log_slow_min_examined_row_limit"},
	}
}

func isView(a, b string) bool {
	return oneName(a) == oneName(b) || slices.ContainsFunc(views(), func(v []string) bool {
		return slices.Contains(v, a) && slices.Contains(v, b)
	})
}

// Whatever the server takes is what is read back, nothing else changes, and the way back leaves all as it was.
func TestEveryVariableIsWhatItWasSetToOrRefused(t *testing.T) {
	t.Parallel()
	m := ownServer(t)
	s, db := dial(t, target(m)), admin(t, m)
	taken := 0
	for _, state := range changeable(t, s, db) {
		name := state.Setting.Name
		if name == "innodb_log_file_buffering" {
			continue // what it can be depends on the file system
		}
		before := everything(t, db)
		for _, text := range samples(state) {
			change := []live.Change{{Setting: state.Setting, To: live.Text(text)}}
			if state.Rule.Check(text) != nil || s.Check(t.Context(), change) != nil || s.Apply(t.Context(), change) != nil {
				continue
			}
			taken++
			if got := read(t, s, state.Setting)[0]; !got.Rule.Same(got.Stored.Text, text) {
				t.Errorf("%s was set to %s and is %s", name, text, got.Stored.Text)
			}
			for other, is := range everything(t, db) {
				if is != before[other] && !isView(name, other) {
					t.Errorf("%s was set to %s, and %s became %s", name, text, other, is)
				}
			}
		}
		if err := s.Apply(t.Context(), []live.Change{{Setting: state.Setting, To: state.Stored, Raw: true}}); err != nil && name != "thread_pool_size" {
			t.Error(err)
		}
		if diff := cmp.Diff(before, everything(t, db)); diff != "" {
			t.Errorf("%s was taken back (-before +after):\n%s", name, diff)
		}
	}
	if taken < 500 {
		t.Errorf("only %d values were taken", taken)
	}
}

// oddText draws what goes wrong elsewhere: quotes, backslashes, ends of statements, controls, any language, no language.
func oddText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringOfN(rapid.SampledFrom([]rune("'\"`\\;-#%_ \x00\n\r\t\x1a/*@{}$")), 0, 40, -1),
		rapid.StringN(0, 3000, 4000),
		rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes")) }),
		rapid.SampledFrom([]string{"", " ", "NULL", "DEFAULT", "ON", "0", "-1", "\ufeff", "\uffff", "e\u0301", "\u202e", "' OR 1=1 -- ", `\'`, "😀"}),
	)
}

func TestTenThousandOddTextsAreReadBackOrRefused(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Password: "x"})
	s := dial(t, target(m))
	settings := variables("init_connect", "init_slave")
	texts, taken := oddText(), 0
	seed := rand.IntN(1 << 30)
	states := read(t, s, settings...)
	for i := range 5000 {
		var changes []live.Change
		for j, state := range states {
			text := texts.Example(seed + 2*i + j)
			legible := utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return c > 0xFFFF })
			if refused := state.Rule.Check(text) != nil; refused == legible {
				t.Fatalf("seed %d: %q is refused: %t", seed, text, refused)
			}
			if legible {
				changes = append(changes, live.Change{Setting: state.Setting, To: live.Text(text)})
				states[j].Stored = live.Text(text)
			}
		}
		taken += len(changes)
		if err := s.Apply(t.Context(), changes); err != nil {
			t.Fatalf("seed %d: %+v: %v", seed, changes, err)
		}
		now := read(t, s, settings...)
		for j, state := range now {
			if state.Stored != states[j].Stored {
				t.Fatalf("seed %d: %q became %q", seed, states[j].Stored.Text, state.Stored.Text)
			}
		}
		states = now
	}
	if taken < 4000 {
		t.Errorf("only %d texts were taken", taken)
	}
}
