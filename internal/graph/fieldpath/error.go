package fieldpath

import (
	"fmt"
	"strings"
)

// Error is what is wrong with a value, or with an expression in it.
type Error struct {
	// Path leads to the value.
	Path Path
	// Expression is the source of the expression that is wrong, without its delimiters. Empty when it is the value.
	Expression string
	// Offset is where in the expression, in bytes; -1 when that is not known.
	Offset int
	// Err says what is wrong. It names neither path nor expression unless the message is one that users know.
	Err error
}

// Errorf returns an error at a path that concerns no expression.
func Errorf(p Path, format string, args ...any) *Error {
	return &Error{Path: p, Offset: -1, Err: fmt.Errorf(format, args...)}
}

// Error returns the message with the path in front, unless the message names the path itself.
func (e *Error) Error() string {
	message := e.Err.Error()
	// A short path may be in a message by chance.
	if at := e.Path.String(); at != "" && (len(e.Path) < 3 || !strings.Contains(message, at)) {
		return at + ": " + message
	}

	return message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
