package ceph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// schema is what `config help` says of an option.
type schema struct {
	Name          string   `json:"name"`
	Type          string   `json:"type"`
	Default       bound    `json:"default"`
	DaemonDefault bound    `json:"daemon_default"`
	Enum          []string `json:"enum_values"`
	Min           bound    `json:"min"`
	Max           bound    `json:"max"`
	Runtime       bool     `json:"can_update_at_runtime"`
	Flags         []string `json:"flags"`
}

// bound is a value in a schema: a number, a truth value or a text, of which the empty one is none.
type bound string

// UnmarshalJSON keeps a number as it is written: not every one fits a float.
func (b *bound) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '"' {
		*b = bound(data)

		return nil
	}

	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("read a value of a schema: %w", err)
	}

	*b = bound(text)

	return nil
}

// special says that the monitors do not store the option: it has to be known before they can be asked.
func (s schema) special() bool { return slices.Contains(s.Flags, "no_mon_update") }

// daemonValue is what a daemon has when nothing is set.
func (s schema) daemonValue() string {
	if s.DaemonDefault != "" {
		return string(s.DaemonDefault)
	}

	return string(s.Default)
}

// dangerous says why an option is one that can keep daemons from starting or lock everybody out; empty when it is not.
func dangerous(name string) string {
	for _, danger := range dangers() {
		if slices.ContainsFunc(danger.names, func(pattern string) bool {
			prefix, open := strings.CutSuffix(pattern, "*")

			return name == pattern || open && strings.HasPrefix(name, prefix)
		}) {
			return danger.reason
		}
	}

	return ""
}

type danger struct {
	reason string
	// names are of options; one that ends in * is the beginning of names.
	names []string
}

func dangers() []danger {
	return []danger{
		{"decides who is let in: a wrong value locks out every daemon and client", []string{
			"auth_cluster_required", "auth_service_required", "auth_client_required", "auth_supported",
			"auth_allow_insecure_global_id_reclaim", "auth_expose_insecure_global_id_reclaim", "cephx_*",
		}},
		{"decides how daemons talk to each other: a wrong value keeps them apart", []string{
			"ms_type", "ms_public_type", "ms_cluster_type", "ms_cluster_mode", "ms_service_mode", "ms_client_mode",
			"ms_mon_cluster_mode", "ms_mon_service_mode", "ms_mon_client_mode", "ms_bind_*", "ms_inject_*",
			"public_addr", "public_addrv", "public_bind_addr", "cluster_addr",
			"public_network", "cluster_network", "public_network_interface", "cluster_network_interface",
		}},
		{"can keep a daemon from starting, or end one", []string{
			"setuser", "setgroup", "setuser_match_path", "run_dir", "chdir", "pid_file", "plugin_dir", "erasure_code_dir",
			"osd_class_dir", "osd_journal", "osd_objectstore", "osd_uuid", "mon_keyvaluedb", "mon_data_avail_crit",
			"mon_rocksdb_options", "bluestore_rocksdb_options", "bluestore_rocksdb_cfs", "filestore_rocksdb_options",
			"bluestore_block_path", "bluestore_block_db_path", "bluestore_block_wal_path", "enable_experimental_unrecoverable_data_corrupting_features",
		}},
	}
}

// parseOption reads the answer to `config help`.
func parseOption(out []byte) (option, error) {
	var s schema
	if err := json.Unmarshal(out, &s); err != nil {
		return option{}, fmt.Errorf("read the answer to config help: %w", err)
	}

	if s.special() {
		return option{schema: s, problem: &live.Problem{Cause: live.CauseFixed, Message: special}}, nil
	}

	rule, err := ruleOf(s)
	if err != nil {
		return option{schema: s, problem: &live.Problem{Cause: live.CauseFixed, Message: err.Error()}}, nil //nolint:nilerr // it is about one option, not about the monitors
	}

	o := option{schema: s, rule: rule}
	if reason := dangerous(s.Name); reason != "" {
		o.problem = &live.Problem{Cause: live.CauseDangerous, Message: reason}
	}

	return o, nil
}
