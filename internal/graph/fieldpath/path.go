package fieldpath

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Path leads from the root of a document to a value: a string is a key, an int an index.
type Path []any

// Child returns the path to something below. The receiver is not changed and not shared.
func (p Path) Child(steps ...any) Path {
	longer := make(Path, 0, len(p)+len(steps))

	return append(append(longer, p...), steps...)
}

// plain is a key that needs no quotes.
var plain = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$-]*$`)

// String returns the path as people write it: spec.resources[0].metadata.labels["app.kubernetes.io/name"].
func (p Path) String() string {
	var b strings.Builder

	for _, step := range p {
		switch s := step.(type) {
		case int:
			b.WriteString("[" + strconv.Itoa(s) + "]")
		case string:
			if !plain.MatchString(s) {
				b.WriteString("[" + strconv.Quote(s) + "]")

				continue
			}

			if b.Len() > 0 {
				b.WriteByte('.')
			}

			b.WriteString(s)
		default:
			fmt.Fprintf(&b, "[%v]", s)
		}
	}

	return b.String()
}
