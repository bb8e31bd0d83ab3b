package redis

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// form is how a parameter's value is written.
type form interface {
	// accepts completes a sentence that begins with the parameter's name: "takes yes or no".
	accepts() string
	// fits says whether it takes the text; by its kind alone unless strict, when the server may be newer than what is known.
	fits(text string, strict bool) bool
	// same says whether what the server shows is what the text makes of it. The text fits.
	same(have, want string) bool
}

// rule is [live.Rule] of a parameter.
type rule struct {
	form   form
	strict bool
}

// Check implements [live.Rule].
func (r rule) Check(text string) error {
	// To most parameters the server keeps what is before it.
	if strings.ContainsRune(text, 0) {
		return errors.New("takes no text with a zero byte in it")
	}
	if !r.form.fits(text, r.strict) {
		return errors.New(r.form.accepts())
	}

	return nil
}

// Same implements [live.Rule].
func (r rule) Same(have, want string) bool {
	return have == want || r.form.fits(want, false) && r.form.same(have, want)
}

// yesNo is yes or no.
type yesNo struct{}

func (yesNo) accepts() string { return "takes yes or no" }

func (yesNo) fits(text string, _ bool) bool {
	return strings.EqualFold(text, "yes") || strings.EqualFold(text, "no")
}

func (yesNo) same(have, want string) bool { return strings.EqualFold(have, want) }

// integer is a whole number.
type integer struct{ lowest, highest int64 }

func (i integer) accepts() string {
	switch {
	case i.highest < math.MaxInt32:
		return fmt.Sprintf("takes a whole number from %d to %d", i.lowest, i.highest)
	case i.lowest > math.MinInt32:
		return fmt.Sprintf("takes a whole number, at least %d", i.lowest)
	default:
		return "takes a whole number"
	}
}

func (i integer) fits(text string, strict bool) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text { // no sign, no zeros before it
		return false
	}

	return !strict || n >= i.lowest && n <= i.highest
}

func (integer) same(have, want string) bool { return have == want }

// memory is a size in bytes.
type memory struct {
	lowest, highest uint64
	// percent says that it may also be a percentage of another size.
	percent bool
}

func (m memory) accepts() string {
	text := "takes a number of bytes, also with a unit: 1kb is 1024, 1k is 1000, likewise mb and m, gb and g"
	if m.lowest > 0 {
		text += fmt.Sprintf("; at least %d", m.lowest)
	}
	if m.percent {
		text += "; or a percentage such as 5%"
	}

	return text
}

func (m memory) fits(text string, strict bool) bool {
	if _, ok := m.percentage(text); ok {
		return true
	}
	n, ok := size(text)
	// Above the highest the server may take it for another number, so that is no question of its version.
	return ok && n <= m.highest && (!strict || n >= m.lowest)
}

func (m memory) same(have, want string) bool {
	if p, ok := m.percentage(want); ok {
		// It shows none as no bytes.
		return have == strconv.Itoa(p)+"%" || p == 0 && have == "0"
	}
	h, okHave := size(have)
	w, okWant := size(want)

	return okHave && okWant && h == w
}

func (m memory) percentage(text string) (int, bool) {
	digits, ok := strings.CutSuffix(text, "%")
	p, err := strconv.Atoi(digits)

	return p, m.percent && ok && err == nil && strconv.Itoa(p) == digits && p >= 0 && p <= 100
}

// size reads a number of bytes with a unit, or without.
func size(text string) (uint64, bool) {
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(text)
	}
	n, err := strconv.ParseUint(text[:end], 10, 64)
	if err != nil {
		return 0, false
	}
	unit, ok := unitOf(text[end:])
	high, low := bits.Mul64(n, unit)

	return low, ok && high == 0
}

func unitOf(name string) (uint64, bool) {
	switch strings.ToLower(name) {
	case "", "b":
		return 1, true
	case "k":
		return 1000, true
	case "kb":
		return 1 << 10, true
	case "m":
		return 1000 * 1000, true
	case "mb":
		return 1 << 20, true
	case "g":
		return 1000 * 1000 * 1000, true
	case "gb":
		return 1 << 30, true
	default:
		return 0, false
	}
}

// enum is one of some words.
type enum struct {
	words []string
	// shown is how the server shows a word that is a second one for the same.
	shown map[string]string
}

func (e enum) accepts() string { return "takes one of " + strings.Join(e.words, ", ") }

func (e enum) fits(text string, strict bool) bool {
	return !strict || slices.Contains(e.words, strings.ToLower(text))
}

func (e enum) same(have, want string) bool { return e.canonical(have) == e.canonical(want) }

func (e enum) canonical(text string) string {
	text = strings.ToLower(text)
	if shown, ok := e.shown[text]; ok {
		return shown
	}

	return text
}

// flags are some of some words, with a blank between them.
type flags struct {
	words []string
	// none is the word that stands for none of the others.
	none string
	// apart are two that do not go together.
	apart [2]string
}

func (f flags) accepts() string {
	return fmt.Sprintf("takes some of %s, with one blank between them; not both %s and %s",
		strings.Join(f.words, ", "), f.apart[0], f.apart[1])
}

func (f flags) fits(text string, strict bool) bool {
	words := f.canonical(text)
	for _, word := range words {
		if strict && !slices.Contains(f.words, word) {
			return false
		}
	}

	return text != "" && (!slices.Contains(words, f.apart[0]) || !slices.Contains(words, f.apart[1]))
}

func (f flags) same(have, want string) bool {
	return slices.Equal(f.canonical(have), f.canonical(want))
}

// canonical are the words in their order, each once, without the one that stands for none.
func (f flags) canonical(text string) []string {
	words := strings.Split(strings.ToLower(text), " ")
	slices.Sort(words)

	return slices.DeleteFunc(slices.Compact(words), func(word string) bool { return word == f.none })
}

// letters are classes of events, each a letter.
type letters struct{}

// allEvents are the classes that A stands for.
const allEvents = "g$lshzxetd"

func (letters) accepts() string { return "takes letters out of KEA" + allEvents + "mn" }

func (letters) fits(text string, strict bool) bool {
	return strings.Trim(text, "KEAmn"+allEvents) == "" || !strict && strings.Trim(text, asciiLetters+"$") == ""
}

const asciiLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func (l letters) same(have, want string) bool { return l.canonical(have) == l.canonical(want) }

func (letters) canonical(text string) string {
	set := []byte(strings.ReplaceAll(text, "A", allEvents))
	slices.Sort(set)

	return string(slices.Compact(set))
}

// numbers are whole numbers with one blank between them.
type numbers struct {
	// each says what one of them, by its place, may be at the lowest and at the highest.
	each []integer
	// repeat says that they may come again and again, or not at all; without it there are exactly so many.
	repeat bool
	says   string
}

func (n numbers) accepts() string { return n.says }

func (n numbers) fits(text string, _ bool) bool {
	if n.repeat && text == "" {
		return true
	}
	fields := strings.Split(text, " ")
	if n.repeat && len(fields)%len(n.each) != 0 || !n.repeat && len(fields) != len(n.each) {
		return false
	}
	for i, field := range fields {
		if !n.each[i%len(n.each)].fits(field, true) {
			return false
		}
	}

	return true
}

func (numbers) same(have, want string) bool { return have == want }

// percentiles are decimal numbers from 0 to 100 with one blank between them.
type percentiles struct{}

var decimal = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,6})?$`)

func (percentiles) accepts() string {
	return "takes numbers from 0 to 100 with at most six decimals, with one blank between them"
}

func (p percentiles) fits(text string, _ bool) bool {
	_, ok := p.parse(text)

	return ok
}

func (p percentiles) same(have, want string) bool {
	h, okHave := p.parse(have)
	w, okWant := p.parse(want)

	return okHave && okWant && slices.Equal(h, w)
}

func (percentiles) parse(text string) ([]float64, bool) {
	if text == "" {
		return nil, true
	}
	var all []float64
	for field := range strings.SplitSeq(text, " ") {
		f, err := strconv.ParseFloat(field, 64)
		if err != nil || !decimal.MatchString(field) || f > 100 {
			return nil, false
		}
		all = append(all, f)
	}

	return all, true
}

// buffers are the limits of the output buffers of classes of clients. The server keeps those of the classes that the text
// leaves out, and shows all of them.
type buffers struct{}

type bufferLimit struct {
	hard, soft uint64
	seconds    int64
}

func (buffers) accepts() string {
	return "takes, once or more, a class (normal, replica or pubsub), two sizes such as 64mb, and a number of seconds, with one blank between them"
}

func (b buffers) fits(text string, _ bool) bool {
	_, ok := b.parse(text)

	return ok
}

func (b buffers) same(have, want string) bool {
	h, okHave := b.parse(have)
	w, okWant := b.parse(want)
	for class, limit := range w {
		okWant = okWant && h[class] == limit
	}

	return okHave && okWant
}

func (buffers) parse(text string) (map[string]bufferLimit, bool) {
	fields := strings.Split(text, " ")
	if len(fields)%4 != 0 {
		return nil, false
	}
	limits := map[string]bufferLimit{}
	for part := range slices.Chunk(fields, 4) {
		class := strings.ToLower(part[0])
		if class == "slave" {
			class = "replica"
		}
		hard, okHard := size(part[1])
		soft, okSoft := size(part[2])
		seconds, err := strconv.ParseInt(part[3], 10, 32) // the server cuts off what is beyond
		if !slices.Contains([]string{"normal", "replica", "pubsub"}, class) || !okHard || !okSoft || err != nil || seconds < 0 {
			return nil, false
		}
		limits[class] = bufferLimit{hard, soft, seconds}
	}

	return limits, true
}

// text is any text, or one that has a shape.
type text struct {
	shape *regexp.Regexp // nil for any
	says  string
}

func (t text) accepts() string { return t.says }

func (t text) fits(text string, strict bool) bool {
	return t.shape == nil || !strict || t.shape.MatchString(text)
}

func (text) same(have, want string) bool { return have == want }

// unknown is a parameter that is not known here. Its kind is guessed from what the server shows.
type unknown struct{}

func (unknown) accepts() string { return "takes what the server's documentation says" }

func (unknown) fits(string, bool) bool { return true }

func (unknown) same(have, want string) bool {
	if have == "yes" || have == "no" {
		return strings.EqualFold(have, want)
	}
	w, ok := size(want)

	return ok && have == strconv.FormatUint(w, 10)
}
