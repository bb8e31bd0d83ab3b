package mysql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// Make is which server it is.
type Make string

// The makes.
const (
	MariaDB Make = "MariaDB"
	MySQL   Make = "MySQL"
)

// privilege is what MariaDB asks of who sets a variable for everybody: one of its fine privileges, which SUPER includes for
// all variables but one, or SUPER where it has no fine one.
func privilege(name string) string {
	switch name {
	case "connect_timeout", "disconnect_on_expired_password", "extra_max_connections", "init_connect", "max_connect_errors",
		"max_connections", "max_password_errors", "proxy_protocol_networks", "secure_auth", "slow_launch_time":
		return "CONNECTION ADMIN"
	case "expire_logs_days", "log_bin_compress", "log_bin_compress_min_len", "log_bin_trust_function_creators",
		"max_binlog_cache_size", "max_binlog_size", "max_binlog_stmt_cache_size", "sql_log_bin", "sync_binlog":
		return "BINLOG ADMIN"
	case "gtid_binlog_state", "gtid_domain_id", "master_verify_checksum", "server_id":
		return "REPLICATION MASTER ADMIN"
	case "gtid_cleanup_batch_size", "gtid_ignore_duplicates", "gtid_pos_auto_engines", "gtid_slave_pos", "gtid_strict_mode",
		"init_slave", "read_binlog_speed_limit", "relay_log_purge", "relay_log_recovery", "sync_master_info", "sync_relay_log",
		"sync_relay_log_info":
		return "REPLICATION SLAVE ADMIN"
	case "binlog_alter_two_phase", "binlog_checksum", "slave_transaction_retries":
		return "SUPER"
	case "read_only":
		return "READ_ONLY ADMIN"
	}
	for _, p := range []struct{ prefix, privilege string }{
		{"binlog_", "BINLOG ADMIN"},
		{"replicate_", "REPLICATION SLAVE ADMIN"},
		{"rpl_semi_sync_master_", "REPLICATION MASTER ADMIN"},
		{"rpl_semi_sync_slave_", "REPLICATION SLAVE ADMIN"},
		{"slave_", "REPLICATION SLAVE ADMIN"},
		{"thread_pool_", "CONNECTION ADMIN"},
	} {
		if strings.HasPrefix(name, p.prefix) {
			return p.privilege
		}
	}

	return "SUPER"
}

// Grants are the statements that give an account no more than it needs to change the settings of a server of the make. The
// account is written as the role of a password: "lockstep" or "lockstep@10.0.0.%". persist says whether what is set is to
// outlive a restart. For MariaDB the privileges are those of 10.5 and later.
func Grants(m Make, role string, persist bool, settings ...live.Setting) []string {
	needs := map[string]bool{}
	passwords := false
	for _, s := range settings {
		switch {
		case s.Password:
			needs["CREATE USER"], passwords = true, true
		case m == MariaDB:
			needs[privilege(Normalise(s).Name)] = true
		default:
			needs["SYSTEM_VARIABLES_ADMIN"] = true
			if persist {
				needs["PERSIST_RO_VARIABLES_ADMIN"] = true
			}
		}
	}
	to := accountOf(role).String()
	var statements []string
	if len(needs) > 0 {
		all := make([]string, 0, len(needs))
		for name := range needs {
			all = append(all, name)
		}
		slices.Sort(all)
		statements = append(statements, fmt.Sprintf("GRANT %s ON *.* TO %s", strings.Join(all, ", "), to))
	}
	if passwords && m == MariaDB {
		statements = append(statements, fmt.Sprintf("GRANT SELECT ON mysql.global_priv TO %s", to))
	}

	return statements
}
