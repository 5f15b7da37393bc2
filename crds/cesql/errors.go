package cesql

import "fmt"

// SyntaxError says where an expression is wrong.
type SyntaxError struct {
	// Offset is the position in bytes from 0; Line and Column are counted from 1, columns in characters.
	Offset, Line, Column int
	// Expected is what would have been right there, Found what is.
	Expected, Found string
}

// Error is the position, what was expected and what was found.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: expected %s, found %s", e.Line, e.Column, e.Expected, e.Found)
}

// ErrorKind is one of the specification's kinds of evaluation errors.
type ErrorKind string

// The kinds of section 3.3 that an evaluation can end with.
const (
	MathError               ErrorKind = "math"
	CastError               ErrorKind = "cast"
	MissingAttributeError   ErrorKind = "missingAttribute"
	MissingFunctionError    ErrorKind = "missingFunction"
	FunctionEvaluationError ErrorKind = "functionEvaluation"
	GenericError            ErrorKind = "generic"
)

// Error is why an evaluation ended early, or why an expression can pass no event.
type Error struct {
	Kind ErrorKind
	// Line and Column are where in the expression, counted from 1.
	Line, Column int
	Message      string
}

// Error is the position and the message.
func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}
