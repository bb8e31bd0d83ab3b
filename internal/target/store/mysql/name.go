package mysql

import (
	"regexp"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// nameForm is what the names of system variables are made of. A name goes into statements as it is.
var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// Normalise returns the setting under the one name by which it is known here. Variables may be written as in an option
// file, with hyphens and in any case, and some have two names; the account app is app@%.
func Normalise(s live.Setting) live.Setting {
	if s.Password {
		s.Role = strings.TrimSuffix(s.Role, "@"+anyHost)

		return s
	}
	s.Name = oneName(strings.ReplaceAll(strings.ToLower(s.Name), "-", "_"))

	return s
}

// oneName is the name that all servers know of a variable that some know under two.
func oneName(name string) string {
	switch name {
	case "alter_algorithm":
		return "old_alter_table"
	case "log_slow_min_examined_row_limit":
		return "min_examined_row_limit"
	case "log_slow_query":
		return "slow_query_log"
	case "log_slow_query_file":
		return "slow_query_log_file"
	case "log_slow_query_time":
		return "long_query_time"
	case "max_insert_delayed_threads":
		return "max_delayed_threads"
	case "slave_parallel_threads":
		return "slave_parallel_workers"
	case "storage_engine":
		return "default_storage_engine"
	case "tmp_memory_table_size":
		return "tmp_table_size"
	default:
		return name
	}
}

// anyHost is the host of an account that may log in from everywhere.
const anyHost = "%"

// account is a user of one host, or of a pattern of hosts.
type account struct{ user, host string }

// accountOf reads a role: "app", which is the account for every host, or "app@10.0.0.%".
func accountOf(role string) account {
	user, host, found := cutLast(role, "@")
	if !found {
		return account{role, anyHost}
	}

	return account{user, strings.ToLower(host)} // as servers keep it
}

func cutLast(text, sep string) (before, after string, found bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}

	return text[:i], text[i+len(sep):], true
}

// String is the account as it is read in SQL and by people: `app`@`%`.
func (a account) String() string { return identifier(a.user) + "@" + identifier(a.host) }
