package reload

import (
	"fmt"
	"unicode/utf8"
)

// maxValue is how much of an annotation's value a problem repeats, in runes.
const maxValue = 100

// Problem is an annotation, or a part of one, that could not be understood. It is comparable, so that the same
// problem can be told from a new one.
type Problem struct {
	// Key is the annotation.
	Key string
	// Value is the part of it that was not understood, cut at 100 runes.
	Value string
	// Accepted says what would have been.
	Accepted string
}

// String is one sentence for the person who has to correct the annotation.
func (p Problem) String() string {
	return fmt.Sprintf("annotation %s: cannot use %q: accepted is %s", p.Key, p.Value, p.Accepted)
}

func newProblem(key, value, accepted string) Problem {
	return Problem{Key: key, Value: cut(value), Accepted: accepted}
}

func cut(value string) string {
	if utf8.RuneCountInString(value) <= maxValue {
		return value
	}

	return string([]rune(value)[:maxValue-1]) + "…"
}
