package postgres

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// errLine says that the server's file of settings cannot hold the text.
var errLine = errors.New("takes no line break: ALTER SYSTEM refuses it")

// The rules are those of the types in pg_settings.vartype.
var (
	_ live.Rule = boolRule{}
	_ live.Rule = numberRule{}
	_ live.Rule = enumRule{}
	_ live.Rule = textRule{}
	_ live.Rule = namesRule{}
	_ live.Rule = passwordRule{}
)

// ruleOf returns what the server accepts for a parameter; system is for the whole server.
func ruleOf(p parameter, system bool) live.Rule {
	switch p.kind {
	case "bool":
		return boolRule{}
	case "integer", "real":
		return numberRule{base: p.unit, least: p.least, most: p.most, whole: p.kind == "integer"}
	case "enum":
		return enumRule{values: p.values}
	}

	if list, paths := nameList(p.name); list {
		return namesRule{paths: paths, line: system}
	}

	return textRule{name: strings.ToLower(p.name), line: system}
}

// boolRule takes on and off in all the spellings that the server knows.
type boolRule struct{}

// Check says whether it is on or off.
func (boolRule) Check(text string) error {
	if _, ok := truth(text); !ok {
		return errors.New("takes on or off (also true, false, yes, no, 1, 0)")
	}

	return nil
}

// Same compares what is meant.
func (boolRule) Same(have, want string) bool {
	a, okA := truth(have)
	b, okB := truth(want)

	return okA && okB && a == b || have == want
}

// truth reads a boolean as the server does: any beginning of a word that is not one of two.
func truth(text string) (value, ok bool) {
	text = lower(text)

	for word, value := range map[string]bool{"true": true, "false": false, "yes": true, "no": false} {
		if text != "" && strings.HasPrefix(word, text) {
			return value, true
		}
	}

	switch text {
	case "on", "1":
		return true, true
	case "off", "of", "0":
		return false, true
	default:
		return false, false
	}
}

// numberRule takes whole or real numbers in a range, with or without a unit.
type numberRule struct {
	// base is the unit of values without one; least and most are in it.
	base, least, most string
	whole             bool
}

// Check says whether it is a number with a fitting unit and in the range.
func (r numberRule) Check(text string) error {
	value, err := number(text, r.base, r.whole)

	switch {
	case errors.Is(err, errSize):
		return r.outside()
	case err != nil:
		return errors.New("takes " + r.accepted())
	}

	least, errLeast := strconv.ParseFloat(r.least, 64)
	most, errMost := strconv.ParseFloat(r.most, 64)

	if errLeast == nil && value < least || errMost == nil && value > most {
		return r.outside()
	}

	return nil
}

func (r numberRule) outside() error {
	of := ""
	if r.base != "" {
		of = " in units of " + r.base
	}

	return fmt.Errorf("takes values from %s to %s%s", r.least, r.most, of)
}

func (r numberRule) accepted() string {
	what := "a number"
	if r.whole {
		what = "a whole number"
	}

	units, _ := unitsOf(r.base)
	if len(units) == 0 {
		return what + " without a unit"
	}

	names := make([]string, len(units))
	for i, u := range units {
		names[i] = u.name
	}

	return fmt.Sprintf("%s with one of the units %s, spelt like this, or without one in units of %s", what, strings.Join(names, ", "), r.base)
}

// Same compares in the base unit.
func (r numberRule) Same(have, want string) bool {
	a, errA := number(have, r.base, r.whole)
	b, errB := number(want, r.base, r.whole)

	return errA == nil && errB == nil && a == b || have == want
}

// enumRule takes one of some words, in any case.
type enumRule struct{ values []string }

// Check says whether it is one of them.
func (r enumRule) Check(text string) error {
	if _, ok := r.canonical(text); !ok {
		return fmt.Errorf("takes one of %s", strings.Join(r.values, ", "))
	}

	return nil
}

// Same compares what is meant.
func (r enumRule) Same(have, want string) bool {
	a, okA := r.canonical(have)
	b, okB := r.canonical(want)

	return okA && okB && a == b || have == want
}

// canonical is the word of the list that is meant. The server takes some more than it lists.
func (r enumRule) canonical(text string) (string, bool) {
	word := lower(text)

	switch word {
	case "true", "yes", "1":
		word = "on"
	case "false", "no", "0":
		word = "off"
	case "debug":
		word = "debug2"
	}

	i := slices.IndexFunc(r.values, func(value string) bool { return lower(value) == word })
	if i < 0 {
		return "", false
	}

	return r.values[i], true
}

// textRule takes any text, to the letter.
type textRule struct {
	name string
	line bool
}

// Check says whether the server can store it as it is.
func (r textRule) Check(text string) error {
	if r.line && strings.Contains(text, "\n") {
		return errLine
	}

	if err := sendable(text); err != nil {
		return err
	}

	// The server replaces everything else in them.
	printable := func(c rune) bool { return c >= ' ' && c <= '~' }
	if (r.name == "application_name" || r.name == "cluster_name") &&
		strings.ContainsFunc(text, func(c rune) bool { return !printable(c) }) {
		return errors.New("takes printable ASCII characters only")
	}

	return nil
}

// Same compares to the letter, but for two parameters that the server shows in a form of its own and that no session can
// be asked about: a time zone in the case of its list, and a path without what is too much in it.
func (r textRule) Same(have, want string) bool {
	switch r.name {
	case "log_timezone":
		return strings.EqualFold(have, want)
	case "log_directory":
		return path.Clean(have) == path.Clean(want)
	default:
		return have == want
	}
}

// namesRule takes a list of names or paths.
type namesRule struct{ paths, line bool }

// Check says whether it is a list.
func (r namesRule) Check(text string) error {
	if r.line && strings.Contains(text, "\n") {
		return errLine
	}

	if err := sendable(text); err != nil {
		return err
	}

	if _, ok := splitNames(text, r.paths); !ok {
		return errList
	}

	return nil
}

// Same compares name by name.
func (r namesRule) Same(have, want string) bool {
	a, okA := splitNames(have, r.paths)
	b, okB := splitNames(want, r.paths)

	return okA && okB && sameNames(a, b) || have == want
}
