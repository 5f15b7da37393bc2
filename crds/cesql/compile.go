package cesql

import "ebb.dev/ebb/crds/cesql/attribute"

// compiler turns the nodes of one expression into code.
type compiler struct {
	// problems are what can be known to be wrong without an event.
	problems []*Error
}

func (c *compiler) compile(n node) code {
	switch n := n.(type) {
	case *literal:
		return constant(n.place, n.value)
	case *identifier:
		return attributeCode(n)
	case *unary:
		return c.unary(n)
	case *binary:
		return c.binary(n)
	case *like:
		return c.like(n)
	case *in:
		return c.in(n)
	case *exists:
		name := attribute.Resolve(n.name)
		return truths(n.place, func(v *attribute.View) (bool, *Error) {
			return v.Get(name).Type() != attribute.Missing, nil
		})
	case *call:
		return c.call(n)
	}
	// The parser makes no other nodes.
	return truths(n.where(), always(false, n.where().fail(GenericError, "this cannot be evaluated")))
}

func (c *compiler) all(nodes []node) []code {
	codes := make([]code, len(nodes))
	for i, n := range nodes {
		codes[i] = c.compile(n)
	}
	return codes
}

func constant(at place, value attribute.Value) code {
	switch value.Type() {
	case attribute.Integer:
		n, _ := value.Integer()
		return numbers(at, always(n, nil)).fold()
	case attribute.Boolean:
		b, _ := value.Boolean()
		return truths(at, always(b, nil)).fold()
	default:
		return texts(at, always(value.String(), nil)).fold()
	}
}

func attributeCode(n *identifier) code {
	name := attribute.Resolve(n.name)
	missing := n.fail(MissingAttributeError, "the event has no attribute "+n.name)
	return code{
		place: n.place,
		typ:   dynamic,
		value: func(v *attribute.View) (attribute.Value, *Error) {
			value := v.Get(name)
			if value.Type() == attribute.Missing {
				// The specification's zero value where the type is not known.
				return attribute.Truth(false), missing
			}
			return value, nil
		},
		text: func(v *attribute.View) (string, *Error) {
			text, ok := v.Text(name)
			if !ok {
				return "", missing
			}
			return text, nil
		},
	}
}

func (c *compiler) unary(n *unary) code {
	x := c.compile(n.x)
	if n.op == "NOT" {
		return truths(n.place, not(x.asTruth())).folded(x)
	}
	return numbers(n.place, then(x.asNumber(), func(n int32) (int32, *Error) { return -n, nil })).folded(x)
}

// not inverts a truth; an error stays the error with false.
func not(x run[bool]) run[bool] {
	return then(x, func(b bool) (bool, *Error) { return !b, nil })
}

func negateIf(negated bool, x run[bool]) run[bool] {
	if negated {
		return not(x)
	}
	return x
}

func (c *compiler) binary(n *binary) code {
	if n.op == "AND" || n.op == "OR" {
		return c.chain(n)
	}
	x, y := c.compile(n.x), c.compile(n.y)
	var result code
	switch n.op {
	case "XOR":
		result = truths(n.place, then2(x.asTruth(), y.asTruth(), func(x, y bool) (bool, *Error) { return x != y, nil }))
	case "=", "!=", "<>":
		result = truths(n.place, negateIf(n.op != "=", equal(x, y)))
	case "<", "<=", ">", ">=":
		result = truths(n.place, then2(x.asNumber(), y.asNumber(), comparisons[n.op]))
	default:
		result = numbers(n.place, then2(x.asNumber(), y.asNumber(), arithmetic(n)))
	}
	return result.folded(x, y)
}

var comparisons = map[string]func(x, y int32) (bool, *Error){
	"<":  func(x, y int32) (bool, *Error) { return x < y, nil },
	"<=": func(x, y int32) (bool, *Error) { return x <= y, nil },
	">":  func(x, y int32) (bool, *Error) { return x > y, nil },
	">=": func(x, y int32) (bool, *Error) { return x >= y, nil },
}

// arithmetic is what the operator does. The specification leaves overflow open; it wraps around, as in the SDKs.
func arithmetic(n *binary) func(x, y int32) (int32, *Error) {
	byZero := n.fail(MathError, "division by zero")
	switch n.op {
	case "+":
		return func(x, y int32) (int32, *Error) { return x + y, nil }
	case "-":
		return func(x, y int32) (int32, *Error) { return x - y, nil }
	case "*":
		return func(x, y int32) (int32, *Error) { return x * y, nil }
	case "/":
		return func(x, y int32) (int32, *Error) {
			if y == 0 {
				return 0, byZero
			}
			return x / y, nil
		}
	default:
		return func(x, y int32) (int32, *Error) {
			if y == 0 {
				return 0, byZero
			}
			return x % y, nil
		}
	}
}

// chain compiles a chain of the same short-circuit operator as one loop.
func (c *compiler) chain(n *binary) code {
	// What decides the chain: false for AND, true for OR.
	decisive := n.op == "OR"
	var terms []run[bool]
	var last node = n
	decided := false
	for {
		link, ok := last.(*binary)
		part := last
		if ok = ok && link.op == n.op; ok {
			part = link.x
		}
		// What follows a constant that decides is compiled too, for what may be wrong in it.
		x := c.compile(part)
		truth := truths(x.place, x.asTruth()).folded(x)
		switch {
		case decided:
		case truth.constant != nil:
			value, _ := truth.constant.Boolean()
			if decided = value == decisive; decided {
				terms = append(terms, truth.truth)
			}
		default:
			terms = append(terms, truth.truth)
		}
		if !ok {
			break
		}
		last = link.y
	}
	if decided && len(terms) == 1 {
		return constant(n.place, attribute.Truth(decisive))
	}
	return chained(n.place, terms, decisive)
}

// chained is the chain of terms that are not known beforehand, but for a last one that may decide.
func chained(at place, terms []run[bool], decisive bool) code {
	switch len(terms) {
	case 0:
		return constant(at, attribute.Truth(!decisive))
	case 2:
		// By far the commonest, and faster without the loop.
		first, second := terms[0], terms[1]
		return truths(at, func(v *attribute.View) (bool, *Error) {
			if x, err := first(v); err != nil || x == decisive {
				return x, err
			}
			return second(v)
		})
	}
	return truths(at, func(v *attribute.View) (bool, *Error) {
		for _, term := range terms {
			if x, err := term(v); err != nil || x == decisive {
				return x, err
			}
		}
		return !decisive, nil
	})
}

// equal compares after casting the left side to the type of the right one.
func equal(x, y code) run[bool] {
	switch y.typ {
	case attribute.String:
		return equalText(x.asText(), y)
	case attribute.Integer:
		return then2(x.asNumber(), y.number, func(x, y int32) (bool, *Error) { return x == y, nil })
	case attribute.Boolean:
		return then2(x.asTruth(), y.truth, func(x, y bool) (bool, *Error) { return x == y, nil })
	}
	failed := x.fail(CastError, "this cannot be cast to the type of what it is compared with")
	return then2(x.asValue(), y.asValue(), func(x, y attribute.Value) (bool, *Error) {
		same, ok := sameAs(x, y)
		if !ok {
			return false, failed
		}
		return same, nil
	})
}

// equalText compares two texts; a constant on the right saves one step.
func equalText(x run[string], y code) run[bool] {
	if y.constant == nil {
		return then2(x, y.text, func(x, y string) (bool, *Error) { return x == y, nil })
	}
	want := y.constant.String()
	return func(v *attribute.View) (bool, *Error) {
		got, err := x(v)
		return err == nil && got == want, err
	}
}

// sameAs reports whether x, cast to the type of y, is y; ok is false if it cannot be cast.
func sameAs(x, y attribute.Value) (same, ok bool) {
	switch y.Type() {
	case attribute.Integer:
		n, ok := x.Integer()
		return ok && attribute.Number(n) == y, ok
	case attribute.Boolean:
		b, ok := x.Boolean()
		return ok && attribute.Truth(b) == y, ok
	default:
		return x.String() == y.String(), true
	}
}

func (c *compiler) like(n *like) code {
	x := c.compile(n.x)
	pattern := newPattern(n.pattern.value.String())
	match := then(x.asText(), func(s string) (bool, *Error) { return pattern.match(s), nil })
	return truths(n.place, negateIf(n.negated, match)).folded(x)
}
