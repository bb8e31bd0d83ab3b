package ceph

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// place is where the database has a value.
type place struct{ section, mask, name string }

// entry is a value of the database.
type entry struct {
	text string
	// damaged says that the text is no UTF-8, so that it cannot be told or put back through JSON.
	damaged bool
}

// dump is the whole database.
type dump map[place]entry

// parseDump reads the answer to `config dump`.
func parseDump(out []byte) (dump, error) {
	var entries []json.RawMessage
	if err := json.Unmarshal(out, &entries); err != nil {
		return nil, fmt.Errorf("read the answer to config dump: %w", withoutText(err))
	}

	all := make(dump, len(entries))

	for _, raw := range entries {
		var one struct {
			Section string `json:"section"`
			Mask    string `json:"mask"`
			Name    string `json:"name"`
			Value   string `json:"value"`
		}

		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, fmt.Errorf("read an entry of the answer to config dump: %w", withoutText(err))
		}

		all[place{one.Section, one.Mask, one.Name}] = entry{text: one.Value, damaged: !utf8.Valid(raw)}
	}

	return all, nil
}

// find returns what is stored for a target.
func (d dump) find(t target, name string) (entry, bool) {
	found, ok := d[place{t.section, t.mask, name}]

	return found, ok
}

// narrowed says whether the database has the option for the monitor at a place that outranks the target.
func (d dump) narrowed(t target, name, monitor string) bool {
	own := "mon." + monitor
	rank := map[string]int{global: 0, "mon": 1, own: 2}

	for at := range d {
		if at.name != name {
			continue
		}

		level, applies := rank[at.section]
		if applies && (level > rank[t.section] || level == rank[t.section] && at.mask != "") {
			return true
		}
	}

	return false
}

// reaches says whether the database has the option for the monitor at all.
func (d dump) reaches(name, monitor string) bool {
	for at := range d {
		if at.name == name && (at.section == global || at.section == "mon" || at.section == "mon."+monitor) {
			return true
		}
	}

	return false
}

// parseVersion returns the release of "ceph version 16.2.15 (618f…) pacific (stable)", empty when it is none.
func parseVersion(out []byte) string {
	var answer struct {
		Version string `json:"version"`
	}

	if json.Unmarshal(out, &answer) != nil {
		return ""
	}

	words := strings.Fields(answer.Version)
	if len(words) < 3 {
		return ""
	}

	return words[2]
}

// parseLog returns the newest version of the database.
func parseLog(out []byte) (int64, error) {
	var entries []struct {
		Version int64 `json:"version"`
	}

	if err := json.Unmarshal(out, &entries); err != nil {
		return 0, fmt.Errorf("read the answer to config log: %w", withoutText(err))
	}

	// Nothing has ever been set.
	if len(entries) == 0 {
		return 0, nil
	}

	return entries[0].Version, nil
}

// withoutText drops the part of an error of the JSON library that may quote what it read.
func withoutText(err error) error {
	return fmt.Errorf("%T", err)
}
