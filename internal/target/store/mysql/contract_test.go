package mysql

import (
	"testing"

	"github.com/lockstep-dev/lockstep/internal/localstore"
	"github.com/lockstep-dev/lockstep/internal/testing/stores"
)

// These tests hold what the server was found to do, and on which the driver is built. They ask the server itself.

func TestASetIsLookedAtAsAWholeBeforeAnythingIsSet(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{})
	db := admin(t, m)
	cases := map[string]struct {
		second string
		number uint16
	}{
		"an unknown name":                  {"nosuch = 1", 1193},
		"a wrong type":                     {"wait_timeout = 'abc'", 1232},
		"a word that is not one of them":   {"binlog_format = 'abc'", 1231},
		"a variable of the start":          {"port = 1", 1238},
		"a variable of sessions":           {"insert_id = 1", 1228},
		"a storage engine that is not one": {"default_storage_engine = 'nosuch'", 1286},
		"a time zone that is not one":      {"time_zone = 'nosuch'", 1298},
		"a file that cannot be":            {"general_log_file = '/nosuch/dir/x'", 1231},
		"what is impossible":               {impossible, numberOutOfRange},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := db.ExecContext(t.Context(), "SET GLOBAL max_connections = 160, "+test.second)
			if answered(err) != test.number {
				t.Errorf("got %v, want error %d", err, test.number)
			}
			if got := value(t, db, "SELECT @@GLOBAL.max_connections"); got != "151" {
				t.Errorf("max_connections became %s", got)
			}
		})
	}
}

// The caller has to read back and compensate.
func TestWhatFailsOnlyWhenItIsSetLeavesWhatWasSetBefore(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{})
	db := admin(t, m)
	cases := map[string]struct {
		second string
		number uint16
	}{
		"memory that is not there":          {"innodb_buffer_pool_size = 2097152000000", 5},
		"a filter that is none":             {"replicate_do_table = 'abc'", 1210},
		"a cache that has to be":            {"key_buffer_size = 0", 1438},
		"a log smaller than its own memory": {"innodb_log_file_size = 4194304", 1210},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			exec(t, db, "SET GLOBAL max_connections = 151")
			_, err := db.ExecContext(t.Context(), "SET GLOBAL max_connections = 160, "+test.second)
			if answered(err) != test.number {
				t.Errorf("got %v, want error %d", err, test.number)
			}
			if got := value(t, db, "SELECT @@GLOBAL.max_connections"); got != "160" {
				t.Errorf("max_connections is %s: the driver need not warn of it any more", got)
			}
			_, err = db.ExecContext(t.Context(), "SET GLOBAL max_connections = 170, "+test.second+", "+impossible)
			if answered(err) != numberOutOfRange || value(t, db, "SELECT @@GLOBAL.max_connections") != "160" {
				t.Errorf("got %v: looked at, it was not taken", err)
			}
		})
	}
}

func TestWithoutStrictModeANumberOutOfRangeIsSilentlyChanged(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{})
	conn, err := admin(t, m).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	try := func(mode, statement, variable string) (number uint16, warning, becomes string) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), "SET SESSION sql_mode = '"+mode+"'"); err != nil {
			t.Fatal(err)
		}
		_, err := conn.ExecContext(t.Context(), statement)
		var level, message string
		_ = conn.QueryRowContext(t.Context(), "SHOW WARNINGS").Scan(&level, &warning, &message)
		if err := conn.QueryRowContext(t.Context(), "SELECT @@GLOBAL."+variable).Scan(&becomes); err != nil {
			t.Fatal(err)
		}

		return answered(err), warning, becomes
	}
	cases := map[string]struct{ statement, variable, loose, strict string }{
		"below the least":           {"SET GLOBAL max_connections = 0", "max_connections", "10", "151"},
		"not a multiple":            {"SET GLOBAL read_buffer_size = 8193", "read_buffer_size", "8192", "131072"},
		"above the most of 64 bits": {"SET GLOBAL wait_timeout = 4294967296", "wait_timeout", "31536000", "28800"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			number, _, is := try("STRICT_ALL_TABLES", test.statement, test.variable)
			if number != 1231 || is != test.strict {
				t.Errorf("strict: error %d and %s, want error 1231 and %s", number, is, test.strict)
			}
			number, warning, is := try("", test.statement, test.variable)
			if number != 0 || warning != "1292" || is != test.loose {
				t.Errorf("not strict: error %d, warning %s and %s, want warning 1292 and %s", number, warning, is, test.loose)
			}
		})
	}
}

func TestMariaDBKeepsNothing(t *testing.T) {
	t.Parallel()
	db := admin(t, stores.MariaDB(t))
	_, err := db.ExecContext(t.Context(), "SET PERSIST max_connections = 160")
	if answered(err) != 1064 {
		t.Errorf("got %v, want an error of syntax", err)
	}
}

func TestAGlobalValueReachesNewSessionsOnly(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{})
	db := admin(t, m)
	old, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	exec(t, db, "SET GLOBAL lock_wait_timeout = 77, max_connections = 77")
	var session, global string
	const both = "SELECT @@SESSION.lock_wait_timeout, @@GLOBAL.max_connections"
	if err := old.QueryRowContext(t.Context(), "SELECT @@lock_wait_timeout, @@max_connections").Scan(&session, &global); err != nil {
		t.Fatal(err)
	}
	if session != "86400" || global != "77" {
		t.Errorf("a session that was open has %s and %s, want its own 86400 and the 77 of all", session, global)
	}
	if err := admin(t, m).QueryRowContext(t.Context(), both).Scan(&session, &global); err != nil {
		t.Fatal(err)
	}
	if session != "77" || global != "77" {
		t.Errorf("a new session has %s and %s, want 77 and 77", session, global)
	}
}

// Of what it has read from a log, nobody could tell a password that is a verifier.
func TestTheServerWritesPasswordsOfStatementsToItsLog(t *testing.T) {
	t.Parallel()
	m := stores.OwnMariaDB(t, localstore.MariaDBOptions{Args: []string{"--general-log=1", "--general-log-file=general.log"}})
	db := admin(t, m)
	exec(t, db, "CREATE USER app", "ALTER USER app IDENTIFIED BY 'canary-of-the-contract'")
	if !logged(t, m, "canary-of-the-contract") {
		t.Error("the log has not the password: the driver could send it")
	}
}
