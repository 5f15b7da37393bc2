package cesql

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"ebb.dev/ebb/crds/cesql/attribute"
)

// function is one overload of a function.
type function struct {
	// least and most are how many arguments it takes; most -1 is any number.
	least, most int
	build       func(at place, arguments []code) code
}

// functions are those of the specification by name; no two overloads of one take the same number of arguments.
var functions = map[string]function{
	"INT":       {1, 1, func(at place, a []code) code { return numbers(at, a[0].asNumber()) }},
	"BOOL":      {1, 1, func(at place, a []code) code { return truths(at, a[0].asTruth()) }},
	"STRING":    {1, 1, func(at place, a []code) code { return texts(at, a[0].asText()) }},
	"IS_INT":    {1, 1, isInt},
	"IS_BOOL":   {1, 1, isBool},
	"ABS":       {1, 1, abs},
	"LENGTH":    {1, 1, length},
	"CONCAT":    {0, -1, concat},
	"CONCAT_WS": {1, -1, concatWithSeparator},
	"LOWER":     {1, 1, mapped(strings.ToLower)},
	"UPPER":     {1, 1, mapped(strings.ToUpper)},
	"TRIM":      {1, 1, mapped(strings.TrimSpace)},
	"LEFT":      {2, 2, left},
	"RIGHT":     {2, 2, right},
	"SUBSTRING": {2, 3, substring},
}

func (c *compiler) call(n *call) code {
	arguments := c.all(n.arguments)
	f, ok := functions[n.name]
	if !ok || len(arguments) < f.least || f.most >= 0 && len(arguments) > f.most {
		missing := n.fail(MissingFunctionError, missingFunction(n.name, f, ok))
		c.problems = append(c.problems, missing)
		return truths(n.place, always(false, missing)).fold()
	}
	return f.build(n.place, arguments).folded(arguments...)
}

func missingFunction(name string, f function, exists bool) string {
	switch {
	case !exists:
		return "there is no function " + name
	case f.most < 0:
		return fmt.Sprintf("%s takes at least %d arguments", name, f.least)
	case f.least == f.most:
		return fmt.Sprintf("the number of arguments of %s is to be %d", name, f.least)
	default:
		return fmt.Sprintf("the number of arguments of %s is to be from %d to %d", name, f.least, f.most)
	}
}

// mapped is a function from String to String that cannot fail.
func mapped(apply func(string) string) func(place, []code) code {
	return func(at place, a []code) code {
		return texts(at, then(a[0].asText(), func(s string) (string, *Error) { return apply(s), nil }))
	}
}

func isInt(at place, a []code) code {
	return truths(at, then(a[0].asValue(), func(v attribute.Value) (bool, *Error) {
		_, ok := v.Integer()
		return ok, nil
	}))
}

func isBool(at place, a []code) code {
	return truths(at, then(a[0].asValue(), func(v attribute.Value) (bool, *Error) {
		_, ok := v.Boolean()
		return ok, nil
	}))
}

func abs(at place, a []code) code {
	overflow := at.fail(MathError, "the absolute value of -2147483648 is no 32-bit integer")
	return numbers(at, then(a[0].asNumber(), func(n int32) (int32, *Error) {
		switch {
		case n == -1<<31:
			return 1<<31 - 1, overflow
		case n < 0:
			return -n, nil
		default:
			return n, nil
		}
	}))
}

func length(at place, a []code) code {
	return numbers(at, then(a[0].asText(), func(s string) (int32, *Error) { return int32(utf8.RuneCountInString(s)), nil }))
}

func concat(at place, a []code) code { return joined(at, always("", nil), a) }

func concatWithSeparator(at place, a []code) code { return joined(at, a[0].asText(), a[1:]) }

func joined(at place, separator run[string], parts []code) code {
	texts := make([]run[string], len(parts))
	for i, part := range parts {
		texts[i] = part.asText()
	}
	return code{place: at, typ: attribute.String, text: func(v *attribute.View) (string, *Error) {
		between, err := separator(v)
		if err != nil {
			return "", err
		}
		var out strings.Builder
		for i, part := range texts {
			text, err := part(v)
			if err != nil {
				return "", err
			}
			if i > 0 {
				out.WriteString(between)
			}
			out.WriteString(text)
		}
		return out.String(), nil
	}}
}

func left(at place, a []code) code {
	negative := at.fail(FunctionEvaluationError, "the length that LEFT takes is negative")
	return texts(at, then2(a[0].asText(), a[1].asNumber(), func(s string, n int32) (string, *Error) {
		if n < 0 {
			return s, negative
		}
		return s[:byteOffset(s, int(n))], nil
	}))
}

func right(at place, a []code) code {
	negative := at.fail(FunctionEvaluationError, "the length that RIGHT takes is negative")
	return texts(at, then2(a[0].asText(), a[1].asNumber(), func(s string, n int32) (string, *Error) {
		if n < 0 {
			return s, negative
		}
		return s[byteOffset(s, utf8.RuneCountInString(s)-int(n)):], nil
	}))
}

// byteOffset is where the n-th character of s begins, counted from 0; within s even if n is not.
func byteOffset(s string, n int) int {
	if n <= 0 {
		return 0
	}
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

func substring(at place, a []code) code {
	outside := at.fail(FunctionEvaluationError, "the position that SUBSTRING begins at is not within the text")
	negative := at.fail(FunctionEvaluationError, "the length that SUBSTRING takes is negative")
	tail := then2(a[0].asText(), a[1].asNumber(), func(s string, position int32) (string, *Error) {
		count, from := utf8.RuneCountInString(s), int(position)
		switch {
		case from > count || from < -count:
			return "", outside
		case from == 0:
			return "", nil
		case from < 0:
			from += count + 1
		}
		return s[byteOffset(s, from-1):], nil
	})
	if len(a) == 2 {
		return texts(at, tail)
	}
	return texts(at, then2(tail, a[2].asNumber(), func(s string, n int32) (string, *Error) {
		if n < 0 {
			return "", negative
		}
		return s[:byteOffset(s, int(n))], nil
	}))
}
