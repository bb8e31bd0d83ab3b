package ceph

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// levels are the values that a running monitor has for one option, by where they come from. "mon" is the database, and
// "final" what is in force.
type levels map[string]bound

const (
	levelDatabase = "mon"
	levelFinal    = "final"
)

// outranking are the levels above the database, the strongest first, in words.
func outranking() []struct{ level, words string } {
	return []struct{ level, words string }{
		{"override", "a setting made at run time in"},
		{"cmdline", "the command line of"},
		{"env", "the environment of"},
		{"file", "the configuration file of"},
	}
}

// view is what one running monitor says of the options that are not at their default.
type view struct {
	monitor string
	options map[string]levels
}

// parseDiff reads the answer to `config diff`.
func parseDiff(out []byte) (map[string]levels, error) {
	var answer struct {
		Diff map[string]levels `json:"diff"`
	}

	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("read the answer to config diff: %w", withoutText(err))
	}

	return answer.Diff, nil
}

// parseQuorum reads the answer to `mon dump`: the names of the monitors that are up.
func parseQuorum(out []byte) ([]string, error) {
	var answer struct {
		Monitors []struct {
			Rank int    `json:"rank"`
			Name string `json:"name"`
		} `json:"mons"`
		Quorum []int `json:"quorum"`
	}

	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("read the answer to mon dump: %w", withoutText(err))
	}

	var names []string

	for _, monitor := range answer.Monitors {
		if slices.Contains(answer.Quorum, monitor.Rank) {
			names = append(names, monitor.Name)
		}
	}

	return names, nil
}

// asksMonitors says whether monitors themselves run with what is set for the target, so that they can be asked.
func (t target) asksMonitors() bool {
	kind, _ := t.kind()

	return t.mask == "" && (kind == global || kind == "mon")
}

// concerns says whether this monitor runs with what is set for the target.
func (t target) concerns(monitor string) bool {
	_, name := t.kind()

	return t.asksMonitors() && (name == "" || name == monitor)
}

// verdict is what the running monitors say of one setting.
type verdict struct {
	running live.Value
	// shadowedBy names what outranks the database.
	shadowedBy string
	// lagging says that a monitor has not taken up what the database has, which takes a few milliseconds.
	lagging bool
}

// judge compares what is stored with what the monitors run. The first monitor that differs decides.
func judge(t target, s schema, rule live.Rule, stored live.Value, d dump, views []view) verdict {
	var all verdict

	for _, v := range views {
		if !t.concerns(v.monitor) || d.narrowed(t, s.Name, v.monitor) {
			continue
		}

		one := judgeOne(t, s, rule, stored, v, d.reaches(s.Name, v.monitor))
		if one.shadowedBy != "" || one.lagging {
			return one
		}

		all = one
	}

	return all
}

func judgeOne(t target, s schema, rule live.Rule, stored live.Value, v view, reached bool) verdict {
	option, differs := v.options[s.Name]

	final := string(option[levelFinal])
	if !differs {
		final = s.daemonValue()
	}

	_, fromDatabase := option[levelDatabase]

	switch {
	case !stored.Set:
		return verdict{running: live.Text(final), lagging: fromDatabase && !reached}
	case rule.Same(final, stored.Text):
		// In the form of the database, not in that of the monitor's JSON.
		return verdict{running: stored}
	}

	one := verdict{running: live.Text(final)}

	for _, above := range outranking() {
		if _, found := option[above.level]; found {
			one.shadowedBy = above.words + " mon." + v.monitor

			return one
		}
	}

	kind, _ := t.kind()

	switch {
	case s.Runtime:
		one.lagging = true
	case kind == global:
		// It is for those who start with it. A monitor does not: it has the database only once it runs.
		one.running = live.Value{}
	default:
		one.shadowedBy = "mon." + v.monitor + " itself, which takes this option from its configuration file alone, at its start"
	}

	return one
}
