package cesql

import "ebb.dev/ebb/crds/cesql/attribute"

// run evaluates a part of an expression on an event. With an error it returns the value the specification asks for beside it, as a rule the
// zero value. Errors are made at compile time, so that a failing evaluation allocates nothing.
type run[T any] func(*attribute.View) (T, *Error)

// dynamic is the type of what is known only at run time: the value of an attribute.
const dynamic = attribute.Missing

// code is a compiled part of an expression. The field of its type is set; a dynamic one has value and, as the short cut for the commonest
// cast, text.
type code struct {
	place
	typ    attribute.Type
	value  run[attribute.Value]
	text   run[string]
	number run[int32]
	truth  run[bool]
	// constant is what it evaluates to whatever the event; nil if that depends on the event, or if it is an error.
	constant *attribute.Value
	// fixed says that it does not look at the event.
	fixed bool
}

func texts(at place, r run[string]) code  { return code{place: at, typ: attribute.String, text: r} }
func numbers(at place, r run[int32]) code { return code{place: at, typ: attribute.Integer, number: r} }
func truths(at place, r run[bool]) code   { return code{place: at, typ: attribute.Boolean, truth: r} }

func (p place) fail(kind ErrorKind, message string) *Error {
	return &Error{Kind: kind, Line: p.line, Column: p.column, Message: message}
}

// folded evaluates what does not look at the event, once and for all.
func (c code) folded(parts ...code) code {
	for _, part := range parts {
		if !part.fixed {
			return c
		}
	}
	return c.fold()
}

// fold evaluates c without an event.
func (c code) fold() code {
	var value attribute.Value
	var failed *Error
	c.fixed = true
	switch c.typ {
	case attribute.String:
		var v string
		v, failed = c.text(nil)
		c.text, value = always(v, failed), attribute.Text(v)
	case attribute.Integer:
		var v int32
		v, failed = c.number(nil)
		c.number, value = always(v, failed), attribute.Number(v)
	case attribute.Boolean:
		var v bool
		v, failed = c.truth(nil)
		c.truth, value = always(v, failed), attribute.Truth(v)
	}
	if failed == nil {
		c.constant = &value
	}
	return c
}

func always[T any](value T, err *Error) run[T] {
	return func(*attribute.View) (T, *Error) { return value, err }
}

// then runs apply on what r evaluates to; with an error it is the zero value of the result.
func then[A, B any](r run[A], apply func(A) (B, *Error)) run[B] {
	return func(v *attribute.View) (B, *Error) {
		a, err := r(v)
		if err != nil {
			var zero B
			return zero, err
		}
		return apply(a)
	}
}

// then2 runs apply on what both evaluate to, the left one first.
func then2[A, B, C any](left run[A], right run[B], apply func(A, B) (C, *Error)) run[C] {
	return func(v *attribute.View) (C, *Error) {
		var zero C
		a, err := left(v)
		if err != nil {
			return zero, err
		}
		b, err := right(v)
		if err != nil {
			return zero, err
		}
		return apply(a, b)
	}
}

// asValue is c as a value of whatever type it has.
func (c code) asValue() run[attribute.Value] {
	switch c.typ {
	case attribute.String:
		return then(c.text, func(s string) (attribute.Value, *Error) { return attribute.Text(s), nil })
	case attribute.Integer:
		return then(c.number, func(n int32) (attribute.Value, *Error) { return attribute.Number(n), nil })
	case attribute.Boolean:
		return then(c.truth, func(b bool) (attribute.Value, *Error) { return attribute.Truth(b), nil })
	default:
		return c.value
	}
}

// asText is c cast to String, which always succeeds.
func (c code) asText() run[string] {
	if c.text != nil {
		return c.text
	}
	return c.cast(then(c.asValue(), func(v attribute.Value) (string, *Error) { return v.String(), nil })).text
}

// asNumber is c cast to Integer.
func (c code) asNumber() run[int32] {
	if c.number != nil {
		return c.number
	}
	failed := c.fail(CastError, "this is no 32-bit integer, and is to be one here")
	number := then(c.asValue(), func(v attribute.Value) (int32, *Error) {
		n, ok := v.Integer()
		if !ok {
			return 0, failed
		}
		return n, nil
	})
	return numbers(c.place, number).folded(c).number
}

// asTruth is c cast to Boolean.
func (c code) asTruth() run[bool] {
	if c.truth != nil {
		return c.truth
	}
	failed := c.fail(CastError, "this is neither true nor false, and is to be one of them here")
	truth := then(c.asValue(), func(v attribute.Value) (bool, *Error) {
		b, ok := v.Boolean()
		if !ok {
			return false, failed
		}
		return b, nil
	})
	return truths(c.place, truth).folded(c).truth
}

// cast is the text of c, folded if c is.
func (c code) cast(text run[string]) code { return texts(c.place, text).folded(c) }
