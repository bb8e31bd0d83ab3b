package mysql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
	"github.com/lockstep-dev/lockstep/internal/target/store"
)

// couple is two variables of which the server changes the one along when the other is changed. It tells nobody but in a
// warning, and the way back of the one does not bring the other back.
type couple struct {
	// one is set before the other when both change, unless a limit wants it the other way round.
	one, other string
	// limit says that one is never above other; without it, one is the character set of the collation other.
	limit bool
}

func couples() []couple {
	return []couple{
		{"innodb_io_capacity", "innodb_io_capacity_max", true},
		{"innodb_max_dirty_pages_pct_lwm", "innodb_max_dirty_pages_pct", true},
		{"character_set_connection", "collation_connection", false},
		{"character_set_database", "collation_database", false},
		{"character_set_server", "collation_server", false},
	}
}

// partners adds to settings those that the server may change along.
func partners(settings []live.Setting) []live.Setting {
	all := slices.Clone(settings)
	for _, s := range settings {
		name := Normalise(s).Name
		for _, c := range couples() {
			switch name {
			case c.one:
				all = append(all, live.Setting{Name: c.other})
			case c.other:
				all = append(all, live.Setting{Name: c.one})
			}
		}
	}

	return all
}

// wanted is what variables are to become, by name. A variable that is unset is in it with an unknown value.
type wanted map[string]live.Change

func wantedOf(changes []live.Change) wanted {
	all := wanted{}
	for _, c := range changes {
		if !c.Setting.Password {
			all[Normalise(c.Setting).Name] = c
		}
	}

	return all
}

// after is what a variable will be; false when it is not known.
func (w wanted) after(v variable) (string, bool) {
	c, changes := w[v.name]
	if !changes {
		return v.value, true
	}

	return c.To.Text, c.To.Set
}

// alone says why a change must not be made without another one; nil if it may.
func (w wanted) alone(variables map[string]variable) error {
	for _, c := range couples() {
		one, okOne := variables[c.one]
		other, okOther := variables[c.other]
		if !okOne || !okOther {
			continue
		}
		changed, left := c.one, c.other
		if _, ok := w[c.one]; !ok {
			changed, left = c.other, c.one
		}
		reason := ""
		if c.limit {
			reason = w.crossed(one, other)
		} else if _, both := w[left]; !both {
			reason = w.moves(variables[changed], one, other)
		}
		if reason != "" {
			return &store.RefusedError{Setting: w[changed].Setting, Reason: fmt.Sprintf(
				"%s; the server would silently change %s along: change both together", reason, left)}
		}
	}

	return nil
}

// crossed says that one would be above the other.
func (w wanted) crossed(one, other variable) string {
	low, okLow := w.after(one)
	high, okHigh := w.after(other)
	if !okLow || !okHigh || !above(low, high) {
		return ""
	}

	return fmt.Sprintf("would let %s be above %s", one.name, other.name)
}

// moves says that a character set would get another collation, or the collation another character set.
func (w wanted) moves(changed, charset, collation variable) string {
	to, known := w.after(changed)
	switch {
	case known && strings.EqualFold(to, changed.value):
		return ""
	case known && changed.name == collation.name && strings.HasPrefix(strings.ToLower(to), charset.value+"_"):
		return ""
	default:
		return "belongs to " + charset.name + " or its collation"
	}
}

// above compares two numbers with or without units.
func above(a, b string) bool {
	if m, ok := wholeNumber(a); ok {
		if n, ok := wholeNumber(b); ok {
			return m.Cmp(n) > 0
		}
	}
	m, n := number(a), number(b)

	return m != nil && n != nil && m.Cmp(n) > 0
}

// sort brings the assignments of one statement into an order in which no partner is changed along.
func (w wanted) sort(assigned []assignment, variables map[string]variable) {
	place := func(name string) int {
		return slices.IndexFunc(assigned, func(a assignment) bool { return Normalise(a.setting).Name == name })
	}
	for _, c := range couples() {
		i, j := place(c.one), place(c.other)
		if i < 0 || j < 0 {
			continue
		}
		first := i < j
		to, known := w.after(variables[c.one])
		if otherFirst := c.limit && (!known || above(to, variables[c.other].value)); first == otherFirst {
			assigned[i], assigned[j] = assigned[j], assigned[i]
		}
	}
}
