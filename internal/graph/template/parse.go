package template

import (
	"errors"
	"strings"
)

// Text is a text taken apart.
type Text struct {
	// Parts make up the text, in order. No two literals are neighbours.
	Parts []Part
	// Standalone says that the text is one expression and nothing else, so that its value may have any type.
	Standalone bool
	// Unterminated says that the text has a ${ without an end, which was taken as it is.
	Unterminated bool
}

// Part is a literal or an expression. The other of the two is empty.
type Part struct {
	Literal, Expression string
	// Offset is where the literal, or what stands between the delimiters, begins in the text, in bytes.
	Offset int
}

// Error is what is wrong with a text.
type Error struct {
	// Offset is where in the text, in bytes.
	Offset int
	Err    error
}

// Error says what.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// The errors of a text.
var (
	// ErrNested says that an expression has another one in it.
	ErrNested = errors.New("nested expressions are not allowed unless inside string literals")
	// ErrEmpty says that there is nothing between the delimiters.
	ErrEmpty = errors.New("the expression is empty")
	// ErrQuote says that a quote in an expression begins a literal that does not end.
	ErrQuote = errors.New("the expression has a quote without an end")
	// ErrEnd says that an expression has no closing brace, other than in a literal or a comment.
	ErrEnd = errors.New("the expression has no closing brace outside of its literals and comments")
)

const start = "${"

// Parse takes a text apart. Literals and comments of the expression language are respected: a brace, a quote or a ${ in
// one is just a character. The error is an [*Error].
func Parse(s string) (Text, error) {
	var t Text

	for at := 0; at < len(s); {
		before, _, found := strings.Cut(s[at:], start)
		t.literal(before, at)
		at += len(before)

		if !found {
			break
		}

		from := at + len(start)

		length, problem := expression(s[from:])
		if problem != nil {
			problem.Offset += from

			return Text{}, problem
		}

		if length < 0 {
			t.Unterminated = true
			t.literal(start, at)
			at = from

			continue
		}

		source := s[from : from+length]
		if strings.TrimSpace(source) == "" {
			return Text{}, &Error{Offset: from, Err: ErrEmpty}
		}

		t.Parts = append(t.Parts, Part{Expression: source, Offset: from})
		at = from + length + len("}")
	}

	t.Standalone = len(t.Parts) == 1 && t.Parts[0].Expression != ""

	return t, nil
}

// literal adds a literal, to the one before it if there is one.
func (t *Text) literal(s string, at int) {
	switch last := len(t.Parts) - 1; {
	case s == "":
	case last >= 0 && t.Parts[last].Expression == "":
		t.Parts[last].Literal += s
	default:
		t.Parts = append(t.Parts, Part{Literal: s, Offset: at})
	}
}

// expression returns the length of the expression that s begins with, up to its closing brace; -1 when there is none.
//
// What counts is where the expression language sees the brace. Definitions have been written against a reader that
// knows nothing but braces and double quotes, though: where it finds a sound expression and we find none, as in a
// comment that only the closing brace ends, its reading is taken. Where it finds no end, there is no expression. What
// it takes for an expression that cannot be sound is an error: no quote turns an expression into plain text.
func expression(s string) (int, *Error) {
	length, problem := scan(s)
	if problem == nil {
		return length, nil
	}

	length, err := count(s)
	if errors.Is(err, ErrEnd) {
		return -1, nil
	}

	if err == nil && sound(s[:length]) {
		return length, nil
	}

	return 0, problem
}

// scan returns where the first brace is that closes none of s, as the expression language sees it.
func scan(s string) (int, *Error) {
	depth := 0

	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case strings.HasPrefix(s[i:], start):
			return 0, &Error{Offset: i, Err: ErrNested}
		case strings.HasPrefix(s[i:], "//"):
			line, _, _ := strings.Cut(s[i:], "\n")
			i += len(line) - 1
		case c == '"' || c == '\'' || c == '`':
			length := quoted(s[i:], c == '`' || raw(s[:i]))
			if length < 0 {
				return 0, &Error{Offset: i, Err: ErrQuote}
			}

			i += length - 1
		case c == '{':
			depth++
		case c == '}' && depth == 0:
			return i, nil
		case c == '}':
			depth--
		}
	}

	return 0, &Error{Offset: len(s), Err: ErrEnd}
}

// sound says whether the quotes and braces of an expression are closed.
func sound(source string) bool {
	// The brace is on a line of its own, as a comment may be last.
	source += "\n"
	length, problem := scan(source + "}")

	return problem == nil && length == len(source)
}

// count returns where the first brace is that closes none of s, for a reader who knows braces and double quotes alone.
func count(s string) (int, error) {
	depth, inside := 0, false

	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			inside = !inside
		case inside && c == '\\':
			i++
		case inside:
		case strings.HasPrefix(s[i:], start):
			return 0, ErrNested
		case c == '{':
			depth++
		case c == '}' && depth == 0:
			return i, nil
		case c == '}':
			depth--
		}
	}

	return 0, ErrEnd
}

// raw says whether what comes before a quote makes the literal one without escapes: r or br, in any case.
func raw(before string) bool {
	prefix := strings.ToLower(before[max(0, len(before)-3):])

	rest, found := strings.CutSuffix(prefix, "r")
	rest = strings.TrimSuffix(rest, "b")

	return found && (rest == "" || !word(rest[len(rest)-1]))
}

func word(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z'
}

// quoted returns the length of the literal that s begins with; -1 when it has no end. Only a literal in triple quotes
// goes on in the next line.
func quoted(s string, raw bool) int {
	quote, lines := s[:1], false
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s, triple) {
		quote, lines = triple, true
	}

	for i := len(quote); i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], quote):
			return i + len(quote)
		case !lines && (s[i] == '\n' || s[i] == '\r'):
			return -1
		case s[i] == '\\' && !raw:
			i++
		}
	}

	return -1
}
