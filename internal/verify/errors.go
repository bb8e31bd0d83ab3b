package verify

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/common/operators"
)

const indexOperator = operators.Index

// Error says what is wrong with an expression, or where it failed.
type Error struct {
	// Line and Column of the expression, both from 1 on.
	Line, Column int
	// Message is one line.
	Message string
}

// Error says where and what.
func (e *Error) Error() string {
	if e.Line > 1 {
		return fmt.Sprintf("line %d, character %d: %s", e.Line, e.Column, e.Message)
	}

	return fmt.Sprintf("character %d: %s", e.Column, e.Message)
}

// MissingError says that an expression reads a text that is not there.
type MissingError struct {
	// Variable is where it would be.
	Variable string
	// Key that is not there; empty when Computed.
	Key string
	// Computed says that the expression computes the key: it may be a text that it looks at, and is not shown.
	Computed bool
	// Known are the keys that are there, sorted.
	Known []string
}

// mostKnown is how many keys a message lists.
const mostKnown = 20

// Error names the key and those that are there.
func (e *MissingError) Error() string {
	what := fmt.Sprintf("%s has no %q", e.Variable, e.Key)
	if e.Computed {
		what = e.Variable + " has no such key as the expression computes"
	}

	if len(e.Known) == 0 {
		return what + "; it is empty"
	}

	more := ""
	if n := len(e.Known) - mostKnown; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}

	known := make([]string, 0, mostKnown)
	for _, key := range e.Known[:min(len(e.Known), mostKnown)] {
		known = append(known, fmt.Sprintf("%q", key))
	}

	return what + "; what there is: " + strings.Join(known, ", ") + more
}

// readable is a function's name as people write it.
func readable(function string) string {
	if function == indexOperator {
		return "the index in brackets"
	}

	if operator, ok := operators.FindReverse(function); ok && operator != "" {
		return operator
	}

	return function + "()"
}
