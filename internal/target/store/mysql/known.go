package mysql

import (
	"slices"
	"strings"
)

// dangerous says why a variable is not changed unless it is allowed by name; empty when it is harmless. A bad value of
// one that is only read at the start, which MySQL can store, may keep the server from starting.
func dangerous(name string) string {
	switch name {
	case "init_connect":
		return "is run at the begin of every session: an error in it locks everybody out"
	case "init_slave", "init_replica":
		return "is run by the replication before it begins: an error in it ends the replication"
	case "read_only", "super_read_only", "transaction_read_only", "tx_read_only":
		return "lets nobody write"
	case "offline_mode", "require_secure_transport":
		return "locks out all who connect without what it asks for"
	case "default_password_lifetime", "disconnect_on_expired_password":
		return "lets passwords expire, all at once if they are old: it can lock everybody out"
	case "secure_auth", "old_passwords", "default_authentication_plugin", "authentication_policy", "mandatory_roles":
		return "decides how people log in and what they may do"
	case "proxy_protocol_networks":
		return "decides who may claim to come from any address"
	case "server_id", "sql_slave_skip_counter", "sql_replica_skip_counter":
		return "makes replicas skip changes or refuse to replicate"
	case "gtid_slave_pos", "gtid_binlog_state", "gtid_purged", "gtid_mode", "enforce_gtid_consistency":
		return "decides where replication goes on: a wrong one loses changes"
	case "general_log_file", "slow_query_log_file":
		return "makes the server write to any file that it may write to"
	}
	for _, p := range []struct{ prefix, reason string }{
		{"replicate_", "decides which changes a replica leaves out"},
		{"wsrep_", "decides whether the node belongs to its Galera cluster, and with what"},
		{"admin_", "decides who can connect"},
		{"tls_", "decides who can connect"},
		{"ssl_", "decides who can connect"},
	} {
		if strings.HasPrefix(name, p.prefix) {
			return p.reason
		}
	}

	return ""
}

// pathlike says whether a variable that is only read at the start names files, folders, addresses or sizes of what is on the
// disk: with another one a server may not start.
func pathlike(name string) bool {
	switch name {
	case "basedir", "bind_address", "datadir", "log_bin", "lower_case_table_names", "mysqlx_bind_address", "mysqlx_port",
		"named_pipe", "port", "relay_log", "skip_networking", "skip_name_resolve", "socket", "tmpdir":
		return true
	}
	for _, part := range []string{"_dir", "_file", "_index", "_path", "_port", "_socket", "_basename", "_load", "page_size", "plugin"} {
		if strings.Contains(name, part) {
			return true
		}
	}

	return strings.HasPrefix(name, "innodb_data_") || strings.HasPrefix(name, "innodb_undo_") || strings.HasPrefix(name, "innodb_log_group_")
}

// command says what setting a variable would do, if it does something once and holds no value; empty for all others.
func command(name string) string {
	switch name {
	case "innodb_buffer_pool_dump_now", "innodb_buffer_pool_load_now", "innodb_buffer_pool_load_abort":
		return "dumps or loads the buffer pool"
	case "innodb_log_checkpoint_now", "innodb_checkpoint_disabled":
		return "makes a checkpoint"
	case "innodb_monitor_enable", "innodb_monitor_disable", "innodb_monitor_reset", "innodb_monitor_reset_all":
		return "switches counters"
	case "innodb_max_purge_lag_wait":
		return "waits for the purge"
	case "innodb_redo_log_archive_dirs", "innodb_ft_aux_table":
		return "chooses what the next query looks at"
	default:
		return ""
	}
}

// masked says whether the server tells asterisks in the place of the value.
func masked(name string) bool { return name == "wsrep_sst_auth" }

// moving says which variables change without anybody's setting them: positions in logs.
func moving() []string {
	return []string{
		"gtid_binlog_pos", "gtid_binlog_state", "gtid_current_pos", "gtid_executed", "gtid_purged", "gtid_slave_pos",
		"wsrep_gtid_seq_no",
	}
}

// nameOf says what a variable holds the name of, if it does.
func nameOf(name string) (named, bool) {
	switch {
	case strings.HasPrefix(name, "character_set_"):
		return named{what: "character set"}, true
	case strings.HasPrefix(name, "collation_"):
		return named{what: "collation"}, true
	case strings.HasPrefix(name, "lc_"):
		return named{what: "locale"}, true
	case name == "default_storage_engine":
		return named{what: "storage engine"}, true
	case name == "default_tmp_storage_engine", name == "enforce_storage_engine":
		return named{what: "storage engine", none: true}, true
	default:
		return named{}, false
	}
}

// standsFor are the words of a set for which the server stores others too.
func standsFor(name string) map[string][]string {
	if name != "sql_mode" {
		return nil
	}
	other := []string{
		"PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE", "NO_KEY_OPTIONS", "NO_TABLE_OPTIONS", "NO_FIELD_OPTIONS",
	}
	maxdb := slices.Concat(other, []string{"NO_AUTO_CREATE_USER"})

	return map[string][]string{
		"ANSI":       {"REAL_AS_FLOAT", "PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE"},
		"DB2":        other,
		"MAXDB":      maxdb,
		"MSSQL":      other,
		"MYSQL323":   {"HIGH_NOT_PRECEDENCE"},
		"MYSQL40":    {"HIGH_NOT_PRECEDENCE"},
		"ORACLE":     slices.Concat(maxdb, []string{"SIMULTANEOUS_ASSIGNMENT"}),
		"POSTGRESQL": other,
		"TRADITIONAL": {
			"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES", "NO_ZERO_IN_DATE", "NO_ZERO_DATE", "ERROR_FOR_DIVISION_BY_ZERO",
			"NO_AUTO_CREATE_USER", "NO_ENGINE_SUBSTITUTION",
		},
	}
}

// freeOf is what a variable accepts that may hold any text.
func freeOf(name string) free {
	switch name {
	case "innodb_ft_server_stopword_table", "innodb_ft_user_stopword_table", "innodb_tmpdir":
		return free{keyword: "NULL"}
	case "system_versioning_asof":
		return free{text: "DEFAULT", keyword: "DEFAULT"}
	default:
		return free{unordered: strings.HasPrefix(name, "replicate_") || name == "session_track_system_variables"}
	}
}

// sessionOnly says of variables that have a global value that nobody can set it.
func sessionOnly(name string) bool { return name == "sql_log_bin" || name == "tcp_nodelay" }

// lowest is from where on the server takes a number, where its schema says that it takes less; empty where it does.
func lowest(name string) string {
	switch name {
	case "key_buffer_size":
		return "4096" // 0 would drop a cache that must be there
	case "query_cache_min_res_unit":
		return "512" // the server makes less to this
	default:
		return ""
	}
}
