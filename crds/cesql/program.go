package cesql

import (
	"slices"

	"ebb.dev/ebb/crds/cesql/attribute"
)

// Program is a compiled expression. It is safe for use by several goroutines, each with a View of its own.
type Program struct {
	source     string
	code       code
	pass       run[bool]
	problem    *Error
	conditions []attribute.Condition
}

// Compile prepares the expression for events. An expression that uses a function that does not exist compiles too; see Problem.
func (e *Expression) Compile() *Program {
	c := &compiler{}
	p := &Program{source: e.String(), code: c.compile(e.root), conditions: conditions(e.root)}
	switch p.code.typ {
	case attribute.Boolean:
		p.pass = p.code.truth
	case dynamic:
		p.pass = then(p.code.value, func(v attribute.Value) (bool, *Error) {
			value, ok := v.Boolean()
			return ok && value && v.Type() == attribute.Boolean, nil
		})
	default:
		c.problems = append(c.problems, e.root.where().fail(CastError, "a filter is to be a Boolean, and this is always of type "+p.code.typ.String()))
		p.pass = always(false, nil)
	}
	if len(c.problems) > 0 {
		p.problem = c.problems[0]
	}
	return p
}

// String is the expression in canonical form.
func (p *Program) String() string { return p.source }

// Problem says why the expression is no use as a filter, whatever the event: a function that does not exist, or a type other than Boolean.
// It is nil or an *Error.
func (p *Program) Problem() error {
	if p.problem == nil {
		return nil
	}
	return p.problem
}

// Pass reports whether the event passes: the value is the boolean true, and there was no error.
func (p *Program) Pass(v *attribute.View) bool {
	pass, err := p.pass(v)
	return pass && err == nil
}

// Evaluate is the value of the expression and, if evaluation ended early, an *Error; the value then is what the specification asks for
// beside it.
func (p *Program) Evaluate(v *attribute.View) (attribute.Value, error) {
	var value attribute.Value
	var failed *Error
	switch p.code.typ {
	case attribute.String:
		var text string
		text, failed = p.code.text(v)
		value = attribute.Text(text)
	case attribute.Integer:
		var number int32
		number, failed = p.code.number(v)
		value = attribute.Number(number)
	case attribute.Boolean:
		var truth bool
		truth, failed = p.code.truth(v)
		value = attribute.Truth(truth)
	default:
		value, failed = p.code.value(v)
	}
	if failed != nil {
		return value, failed
	}
	return value, nil
}

// Conditions are what must hold for an event to pass, each of them, as far as it can be told from equalities of attributes; they do not
// suffice for it.
func (p *Program) Conditions() []attribute.Condition { return p.conditions }

func conditions(n node) []attribute.Condition {
	switch n := n.(type) {
	case *binary:
		switch n.op {
		case "AND":
			return append(conditions(n.x), conditions(n.y)...)
		case "OR":
			return attribute.Either(conditions(n.x), conditions(n.y))
		case "=":
			return equality(n.x, []node{n.y})
		}
	case *in:
		// An extension may be an integer, and then '010' in the set is 10.
		if x, ok := n.x.(*identifier); ok && !n.negated && attribute.Resolve(x.name).Textual() {
			return equality(x, n.set)
		}
	}
	return nil
}

// equality is the condition that the attribute x has one of the values, if all are strings.
func equality(x node, values []node) []attribute.Condition {
	name, ok := x.(*identifier)
	if !ok || name.name == "data" {
		return nil
	}
	condition := attribute.Condition{Name: name.name}
	for _, value := range values {
		constant, ok := value.(*literal)
		if !ok || constant.value.Type() != attribute.String {
			return nil
		}
		condition.Values = append(condition.Values, constant.value.String())
	}
	slices.Sort(condition.Values)
	condition.Values = slices.Compact(condition.Values)
	return []attribute.Condition{condition}
}
