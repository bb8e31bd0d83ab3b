package expr

import (
	"slices"
	"strings"
)

// CEL's grammar accepts its reserved words as field names, but not these four, which it reads as tokens of their own.
// In backticks it accepts them too. Users write them plainly, as any other field.
func quoted(word string) bool { return slices.Contains([]string{"in", "true", "false", "null"}, word) }

// escaped is a source that CEL's grammar accepts, with the offsets in it at which something was put in.
type escaped struct {
	source string
	added  []int
}

// escape puts field names that are tokens of the grammar in backticks.
func escape(source string) escaped {
	var (
		out   strings.Builder
		added []int
		last  int
	)

	for i := 0; i < len(source); {
		if source[i] != '.' {
			i = token(source, i)

			continue
		}

		start, end := name(source, i+1)
		i++

		if !quoted(source[start:end]) {
			continue
		}

		out.WriteString(source[last:start])
		added = append(added, out.Len())
		out.WriteString("`" + source[start:end])
		added = append(added, out.Len())
		out.WriteByte('`')

		i, last = end, end
	}

	out.WriteString(source[last:])

	return escaped{source: out.String(), added: added}
}

// original is the offset in the user's source of an offset in the escaped one.
func (e escaped) original(offset int) int {
	shift, _ := slices.BinarySearch(e.added, offset)

	return max(offset-shift, 0)
}

// name finds the identifier that comes next, after blanks and the mark of an optional field. It is empty when something
// else comes.
func name(source string, from int) (start, end int) {
	start = blanks(source, from)
	if start < len(source) && source[start] == '?' {
		start = blanks(source, start+1)
	}

	return start, identifier(source, start)
}

func blanks(source string, i int) int {
	for i < len(source) && strings.IndexByte(" \t\r\n\f", source[i]) >= 0 {
		i++
	}

	return i
}

func identifier(source string, i int) int {
	for i < len(source) && (source[i] == '_' || source[i]|0x20 >= 'a' && source[i]|0x20 <= 'z' || source[i] >= '0' && source[i] <= '9') {
		i++
	}

	return i
}

// token returns the end of the literal, comment or identifier that begins at i, or of one byte of anything else.
func token(source string, i int) int {
	rest := source[i:]

	switch {
	case source[i] == '"' || source[i] == '\'':
		return literal(source, i, false)
	case source[i] == '`':
		if end := strings.IndexByte(rest[1:], '`'); end >= 0 {
			return i + end + 2
		}
	case strings.HasPrefix(rest, "//"):
		if end := strings.IndexByte(rest, '\n'); end >= 0 {
			return i + end + 1
		}

		return len(source)
	}

	end := identifier(source, i)
	if end == i {
		return i + 1
	}

	// A prefix of a literal: bytes, raw, or both.
	prefix := strings.ToLower(source[i:end])
	if end < len(source) && (source[end] == '"' || source[end] == '\'') && slices.Contains([]string{"r", "b", "rb", "br"}, prefix) {
		return literal(source, end, strings.Contains(prefix, "r"))
	}

	return end
}

// literal returns the end of the string literal whose quote is at i.
func literal(source string, i int, raw bool) int {
	quote := source[i : i+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(source[i:], triple) {
		quote = triple
	}

	for i += len(quote); i < len(source); i++ {
		switch {
		case source[i] == '\\' && !raw:
			i++
		case strings.HasPrefix(source[i:], quote):
			return i + len(quote)
		}
	}

	return len(source)
}
