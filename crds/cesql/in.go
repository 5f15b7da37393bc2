package cesql

import "ebb.dev/ebb/crds/cesql/attribute"

func (c *compiler) in(n *in) code {
	x, set := c.compile(n.x), c.all(n.set)
	truth := among(x, set)
	return truths(n.place, negateIf(n.negated, truth)).folded(append(set, x)...)
}

// among reports whether x equals one of the set, each cast to the type of x.
func among(x code, set []code) run[bool] {
	members, ok := constants(set)
	if !ok {
		return amongCodes(x, set)
	}
	switch x.typ {
	case attribute.String:
		return then(x.text, newMembers(members, textOf).has)
	case attribute.Integer:
		return then(x.number, newMembers(members, numberOf).has)
	case attribute.Boolean:
		return then(x.truth, newMembers(members, truthOf).has)
	}
	texts, numbers, truths := newMembers(members, textOf), newMembers(members, numberOf), newMembers(members, truthOf)
	return then(x.value, func(v attribute.Value) (bool, *Error) {
		switch v.Type() {
		case attribute.Integer:
			n, _ := v.Integer()
			return numbers.has(n)
		case attribute.Boolean:
			b, _ := v.Boolean()
			return truths.has(b)
		default:
			return texts.has(v.String())
		}
	})
}

// amongCodes compares with one after the other.
func amongCodes(x code, set []code) run[bool] {
	left := x.asValue()
	type member struct {
		value  run[attribute.Value]
		failed *Error
	}
	members := make([]member, len(set))
	for i, element := range set {
		members[i] = member{element.asValue(), element.fail(CastError, notOfTheType)}
	}
	return func(v *attribute.View) (bool, *Error) {
		x, err := left(v)
		if err != nil {
			return false, err
		}
		for i := range members {
			element, err := members[i].value(v)
			if err != nil {
				return false, err
			}
			same, ok := sameAs(element, x)
			if !ok {
				return false, members[i].failed
			}
			if same {
				return true, nil
			}
		}
		return false, nil
	}
}

const notOfTheType = "this cannot be cast to the type of what is looked for"

// placed is a constant and where it stands.
type placed struct {
	place
	value attribute.Value
}

// constants are the values of the set if all are known beforehand.
func constants(set []code) ([]placed, bool) {
	values := make([]placed, len(set))
	for i, element := range set {
		if element.constant == nil {
			return nil, false
		}
		values[i] = placed{element.place, *element.constant}
	}
	return values, true
}

func textOf(v attribute.Value) (string, bool)  { return v.String(), true }
func numberOf(v attribute.Value) (int32, bool) { return v.Integer() }
func truthOf(v attribute.Value) (bool, bool)   { return v.Boolean() }

// members are the constants of a set in one type, up to the first that cannot be cast: looking further than that fails.
type members[T comparable] struct {
	few    []T
	many   map[T]struct{}
	failed *Error
}

// fewest is how many members are found faster by a map than one after the other.
const fewest = 8

func newMembers[T comparable](values []placed, cast func(attribute.Value) (T, bool)) *members[T] {
	m := &members[T]{}
	for _, value := range values {
		member, ok := cast(value.value)
		if !ok {
			m.failed = value.fail(CastError, notOfTheType)
			break
		}
		m.few = append(m.few, member)
	}
	if len(m.few) >= fewest {
		m.many = make(map[T]struct{}, len(m.few))
		for _, member := range m.few {
			m.many[member] = struct{}{}
		}
		m.few = nil
	}
	return m
}

func (m *members[T]) has(x T) (bool, *Error) {
	if _, ok := m.many[x]; ok {
		return true, nil
	}
	for _, member := range m.few {
		if member == x {
			return true, nil
		}
	}
	return false, m.failed
}
