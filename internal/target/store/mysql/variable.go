package mysql

import (
	"cmp"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// variable is what a server says of one of its system variables.
type variable struct {
	// name in small letters.
	name string
	// value is the one that is global.
	value string
	// kind is MariaDB's VARIABLE_TYPE, such as "BIGINT UNSIGNED", or "MYSQL" for all that is no number of MySQL.
	kind string
	// min, max and block are empty where the server names none.
	min, max, block string
	// words are those of a choice or a set.
	words []string
	// sessions says that there is no global value: each session has its own.
	sessions bool
	// fixed says that it is only read at the start.
	fixed bool
	// kept is what the server has stored to set it to when it starts; it matters only with a server that keeps settings.
	kept live.Value
}

// rule is what the variable accepts.
func (v variable) rule() rule {
	if n, ok := nameOf(v.name); ok {
		return n
	}
	switch v.kind {
	case "BOOLEAN":
		return boolean{}
	case "DOUBLE":
		return decimal{v.min, v.max}
	case "ENUM":
		// ORIGINAL is a word for another one, the one that event_scheduler had at the start.
		return choice{words: v.words, never: "ORIGINAL"}
	case "SET":
		return members{words: v.words, stands: standsFor(v.name)}
	case "FLAGSET":
		return flags{v.words}
	case "MYSQL":
		return loose{now: v.value}
	}
	switch {
	case strings.Contains(v.kind, "INT"):
		return newInteger(cmp.Or(lowest(v.name), v.min), v.max, v.block)
	case v.name == "time_zone":
		return zone{}
	default:
		return freeOf(v.name)
	}
}

// problem says why the variable cannot be changed, or not without being allowed by name. keeps says that the server can
// store what it takes up at its next start.
func (v variable) problem(keeps bool) *live.Problem {
	what := command(v.name)
	danger := dangerous(v.name)
	switch {
	case v.sessions:
		return &live.Problem{Cause: live.CauseFixed, Message: "is of each session alone: it has no global value"}
	case what != "":
		return &live.Problem{Cause: live.CauseFixed, Message: "is a command, not a setting: it " + what}
	case v.fixed && !keeps:
		return &live.Problem{Cause: live.CauseFixed, Message: "can only be set at the start of the server, in an option file"}
	case v.fixed && danger == "" && pathlike(v.name):
		danger = "is read at the start of the server, which does not start with a wrong one"
	}
	if danger == "" && !v.sessions && v.rule().Check(v.value) != nil {
		danger = "has a value now that it cannot be given back, since the server chose it itself"
	}
	if danger == "" {
		return nil
	}

	return &live.Problem{Cause: live.CauseDangerous, Message: danger}
}

// state is the variable as a state of the setting. With a server that keeps settings, stored is what it keeps.
func (v variable) state(s live.Setting, keeps bool) live.State {
	state := live.State{Setting: s, Running: live.Text(v.value), Stored: live.Text(v.value), NoUnset: true}
	if keeps {
		state.Stored, state.NoUnset = v.kept, false
	}
	if state.Problem = v.problem(keeps); state.Problem != nil && state.Problem.Cause != live.CauseDangerous {
		return state
	}
	r := v.rule()
	state.Rule = r
	if v.fixed {
		state.Restart = true
		state.RestartPending = v.kept.Set && !r.Same(v.value, v.kept.Text)
	}
	if masked(v.name) {
		state.Hidden, state.Stored, state.Running = true, live.Value{}, live.Value{}
	}

	return state
}
