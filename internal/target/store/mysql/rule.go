package mysql

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lockstep-dev/lockstep/internal/live"
)

// rule is what a variable accepts, and how that is written.
type rule interface {
	live.Rule
	// literal is the text in SQL, also if it is out of range: a server may hold, and must get back, what it would not take
	// from others. The error is that of Check.
	literal(text string) (string, error)
}

// boolean is a variable that is ON or OFF.
type boolean struct{}

var errBoolean = errors.New("takes ON or OFF, also written as 1 or 0, TRUE or FALSE")

func (boolean) parse(text string) (on, ok bool) {
	switch strings.ToUpper(text) {
	case "ON", "1", "TRUE":
		return true, true
	case "OFF", "0", "FALSE":
		return false, true
	default:
		return false, false
	}
}

func (r boolean) literal(text string) (string, error) {
	on, ok := r.parse(text)
	switch {
	case !ok:
		return "", errBoolean
	case on:
		return "ON", nil
	default:
		return "OFF", nil
	}
}

func (r boolean) Check(text string) error {
	_, err := r.literal(text)

	return err
}

func (r boolean) Same(have, want string) bool {
	a, okA := r.parse(have)
	b, okB := r.parse(want)

	return okA && okB && a == b
}

// choice is a variable that is one of several words. A number is the place of one of them, from 0 on.
type choice struct {
	words []string
	// never is a word that is not taken.
	never string
}

func (r choice) find(text string) (string, bool) {
	if i := slices.IndexFunc(r.words, func(w string) bool { return strings.EqualFold(w, text) }); i >= 0 {
		return r.words[i], true
	}
	if i, err := strconv.ParseUint(text, 10, 8); err == nil && i < uint64(len(r.words)) {
		return r.words[i], true
	}

	return "", false
}

func (r choice) literal(text string) (string, error) {
	word, ok := r.find(text)
	if !ok || word == r.never {
		words := slices.DeleteFunc(slices.Clone(r.words), func(w string) bool { return w == r.never })

		return "", fmt.Errorf("takes one of %s", strings.Join(words, ", "))
	}

	return quoted(word), nil
}

func (r choice) Check(text string) error {
	_, err := r.literal(text)

	return err
}

func (r choice) Same(have, want string) bool {
	a, okA := r.find(have)
	b, okB := r.find(want)

	return okA && okB && a == b
}

// members is a variable that is any of several words, separated by commas, in any order.
type members struct {
	words []string
	// stands are words that the server replaces by, or completes with, others.
	stands map[string][]string
}

func (r members) parse(text string) (map[string]bool, bool) {
	set := map[string]bool{}
	if text == "" {
		return set, true
	}
	for word := range strings.SplitSeq(text, ",") {
		i := slices.IndexFunc(r.words, func(w string) bool { return strings.EqualFold(w, word) })
		if i < 0 {
			return nil, false
		}
		set[r.words[i]] = true
	}

	return set, true
}

func (r members) literal(text string) (string, error) {
	set, ok := r.parse(text)
	if !ok {
		return "", fmt.Errorf("takes any of %s, separated by commas without blanks", strings.Join(r.words, ", "))
	}

	return quoted(strings.Join(slices.Sorted(maps.Keys(set)), ",")), nil
}

func (r members) Check(text string) error {
	_, err := r.literal(text)

	return err
}

func (r members) Same(have, want string) bool {
	a, okA := r.parse(have)
	b, okB := r.parse(want)

	return okA && okB && maps.Equal(r.complete(a), r.complete(b))
}

// complete adds to a set what its words stand for.
func (r members) complete(set map[string]bool) map[string]bool {
	all := maps.Clone(set)
	for word := range set {
		for _, other := range r.stands[word] {
			all[other] = true
		}
	}

	return all
}

// flags is a variable of switches, "mrr=on,mrr_cost_based=off". Those that are not named stay as they are.
type flags struct{ words []string }

func (r flags) refusal() error {
	words := slices.DeleteFunc(slices.Clone(r.words), func(w string) bool { return w == "default" })

	return fmt.Errorf("takes switches, each once and with =on or =off, separated by commas without blanks, of %s", strings.Join(words, ", "))
}

func (r flags) parse(text string) (map[string]bool, bool) {
	set := map[string]bool{}
	for item := range strings.SplitSeq(text, ",") {
		word, to, _ := strings.Cut(strings.ToLower(item), "=")
		_, twice := set[word]
		known := slices.ContainsFunc(r.words, func(w string) bool { return strings.EqualFold(w, word) })
		// The server knows "default" too, for one and for all; what that means changes from version to version.
		if twice || !known || word == "default" || to != "on" && to != "off" {
			return nil, false
		}
		set[word] = to == "on"
	}

	return set, true
}

func (r flags) literal(text string) (string, error) {
	if _, ok := r.parse(text); !ok {
		return "", r.refusal()
	}

	return quoted(strings.ToLower(text)), nil
}

func (r flags) Check(text string) error {
	_, err := r.literal(text)

	return err
}

func (r flags) Same(have, want string) bool {
	a, okA := r.parse(have)
	b, okB := r.parse(want)
	if !okA || !okB {
		return false
	}
	for word, on := range b {
		if is, named := a[word]; !named || is != on {
			return false
		}
	}

	return true
}

// named is a variable that holds the name of something that the server has: a character set, a collation, a locale, a
// storage engine. Which there are only the server knows.
type named struct {
	// what it is the name of: "character set".
	what string
	// none says that it may be the name of nothing, which the server wants to be told as NULL.
	none bool
}

var (
	wordForm  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
	aliasForm = regexp.MustCompile(`(?i)^utf8(_.*)?$`)
)

func (r named) literal(text string) (string, error) {
	if text == "" && r.none {
		return "NULL", nil
	}
	if !wordForm.MatchString(text) {
		return "", fmt.Errorf("takes the name of a %s", r.what)
	}

	return quoted(text), nil
}

// Check refuses utf8, which is another character set from server to server, and is told as what it is.
func (r named) Check(text string) error {
	if aliasForm.MatchString(text) {
		return errors.New("takes utf8mb3 or utf8mb4 in the place of utf8, which may be either")
	}
	_, err := r.literal(text)

	return err
}

func (r named) Same(have, want string) bool { return strings.EqualFold(have, want) }

// zone is a variable that holds a time zone.
type zone struct{}

var (
	offsetForm = regexp.MustCompile(`^([+-])([0-9]{1,2}):([0-9]{2})$`)
	zoneForm   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+/-]{0,63}$`)
	errZone    = errors.New("takes SYSTEM, an offset such as +01:00, or the name of a time zone that the server has in its tables")
)

func (zone) literal(text string) (string, error) {
	if !offsetForm.MatchString(text) && !zoneForm.MatchString(text) {
		return "", errZone
	}

	return quoted(text), nil
}

func (r zone) Check(text string) error {
	_, err := r.literal(text)

	return err
}

// Same knows that the server makes +1:00 to +01:00.
func (r zone) Same(have, want string) bool { return strings.EqualFold(r.padded(have), r.padded(want)) }

func (zone) padded(text string) string {
	m := offsetForm.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	if len(m[2]) == 1 {
		m[2] = "0" + m[2]
	}
	if m[1] == "-" && m[2] == "00" && m[3] == "00" {
		m[1] = "+"
	}

	return m[1] + m[2] + ":" + m[3]
}

// free is a variable that holds any text.
type free struct {
	// unordered says that it is a list, separated by commas, whose order does not matter.
	unordered bool
	// text is one that the server wants to be told as a keyword, if there is a keyword.
	text, keyword string
}

var errFree = errors.New("takes text in UTF-8 without characters beyond U+FFFF, such as emoji, which the server would silently replace")

// literal takes only what the server's own character set for names, utf8mb3, can hold.
func (r free) literal(text string) (string, error) {
	if r.keyword != "" && text == r.text {
		return r.keyword, nil
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return c > 0xFFFF }) {
		return "", errFree
	}

	return quoted(text), nil
}

func (r free) Check(text string) error {
	_, err := r.literal(text)

	return err
}

func (r free) Same(have, want string) bool {
	if !r.unordered {
		return have == want
	}

	return slices.Equal(r.items(have), r.items(want))
}

func (r free) items(text string) []string {
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	slices.Sort(items)

	return slices.Compact(items)
}
