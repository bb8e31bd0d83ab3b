package expr

import (
	"fmt"
	"slices"
	"strings"
)

// Error says what is wrong with the source of an expression.
type Error struct {
	// Offset is where, in bytes from the start of the source.
	Offset int
	// Message is one line.
	Message string
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// MismatchError says that a value of one type does not fit where another is wanted.
type MismatchError struct {
	// Got and Want are types as users know them.
	Got, Want string
	// Field leads to what does not fit below the two values. Empty when the values themselves do not.
	Field string
}

// Error names both types.
func (e *MismatchError) Error() string {
	message := fmt.Sprintf("returns type %q but expected %q", e.Got, e.Want)
	if e.Field == "" {
		return message
	}

	return e.Field + ": " + message
}

// Field is a field of a variable.
type Field struct {
	Variable string
	// Path leads to the field; empty means the variable itself.
	Path string
}

// String joins the two with a dot.
func (f Field) String() string {
	if f.Path == "" || strings.HasPrefix(f.Path, "[") {
		return f.Variable + f.Path
	}

	return f.Variable + "." + f.Path
}

// PendingError says that an expression reads data that is not there yet.
type PendingError struct {
	Expression string
	// Missing lists the fields that the expression reads and that are not there, sorted. It is empty when they cannot
	// be told from the source, for example behind a computed key.
	Missing []Field
	// Err is what the evaluation said.
	Err error
}

// Error names the missing fields or, if they cannot be told, what the evaluation said.
func (e *PendingError) Error() string {
	if len(e.Missing) == 0 {
		return fmt.Sprintf("expression %q waits for data: %s", e.Expression, e.Err)
	}

	names := make([]string, len(e.Missing))
	for i, field := range e.Missing {
		names[i] = field.String()
	}

	return fmt.Sprintf("expression %q waits for %s", e.Expression, strings.Join(slices.Compact(names), ", "))
}

// Unwrap returns what the evaluation said.
func (e *PendingError) Unwrap() error { return e.Err }

// CostError says that an evaluation was ended because it cost too much.
type CostError struct {
	Expression string
	// Cost is what was spent when the evaluation ended, Limit what was allowed, both in CEL cost units.
	Cost, Limit uint64
	// Pass says that the limit is that of all expressions of one pass.
	Pass bool
}

// Error names the expression, its cost and the limit.
func (e *CostError) Error() string {
	if e.Pass {
		return fmt.Sprintf("expression %q: the expressions of this pass cost %d, over their common limit of %d", e.Expression, e.Cost, e.Limit)
	}

	return fmt.Sprintf("expression %q cost %d, over the limit of %d for one expression", e.Expression, e.Cost, e.Limit)
}

// EvalError says that an evaluation failed for a reason that waiting does not cure.
type EvalError struct {
	Expression string
	// Err is what the evaluation said. It may repeat values, unless the program is discreet: see [Program.Discreet].
	Err error
}

// Error names the expression.
func (e *EvalError) Error() string {
	return fmt.Sprintf("expression %q failed: %s", e.Expression, e.Err)
}

// Unwrap returns what the evaluation said.
func (e *EvalError) Unwrap() error { return e.Err }
