package cesql

import (
	"strconv"
	"strings"

	"ebb.dev/ebb/crds/cesql/attribute"
)

// node is a part of an expression.
type node interface{ where() place }

type (
	// literal is a constant; raw is how a string was written.
	literal struct {
		place
		value attribute.Value
		raw   string
	}
	// identifier is the value of an attribute.
	identifier struct {
		place
		name string
	}
	// unary is NOT or -.
	unary struct {
		place
		op string
		x  node
	}
	// binary is an operator between two expressions; its place is the operator's.
	binary struct {
		place
		op   string
		x, y node
	}
	// like is LIKE or NOT LIKE.
	like struct {
		place
		negated bool
		x       node
		pattern *literal
	}
	// in is IN or NOT IN.
	in struct {
		place
		negated bool
		x       node
		set     []node
	}
	// exists is EXISTS.
	exists struct {
		place
		name string
	}
	// call is a function with its arguments; the name is in upper case.
	call struct {
		place
		name      string
		arguments []node
	}
)

func (p place) where() place { return p }

// Binding powers: what binds more tightly has more. The order is that of the specification's section 3.6.
const (
	powerLogic = 10 * (iota + 1)
	powerComparison
	powerSum
	powerProduct
	powerIn
	powerLike
	powerUnary
	powerPrimary
)

// powers are those of the binary operators.
var powers = map[string]int{
	"AND": powerLogic, "OR": powerLogic, "XOR": powerLogic,
	"=": powerComparison, "!=": powerComparison, "<>": powerComparison,
	"<": powerComparison, "<=": powerComparison, ">": powerComparison, ">=": powerComparison,
	"+": powerSum, "-": powerSum,
	"*": powerProduct, "/": powerProduct, "%": powerProduct,
}

func powerOf(n node) int {
	switch n := n.(type) {
	case *binary:
		return powers[n.op]
	case *in:
		return powerIn
	case *like:
		return powerLike
	case *unary:
		return powerUnary
	default:
		return powerPrimary
	}
}

// write writes the expression in its canonical form, with the parentheses it needs where at least that binding power is due.
func write(out *strings.Builder, n node, due int) {
	power := powerOf(n)
	if power < due {
		out.WriteByte('(')
		defer out.WriteByte(')')
	}
	switch n := n.(type) {
	case *literal:
		writeLiteral(out, n)
	case *identifier:
		out.WriteString(n.name)
	case *unary:
		// The space keeps "- 1", a negation, apart from the literal "-1".
		out.WriteString(n.op + " ")
		write(out, n.x, powerUnary)
	case *binary:
		// Logic groups to the right, everything else to the left.
		left, right := power, power+1
		if power == powerLogic {
			left, right = right, left
		}
		write(out, n.x, left)
		out.WriteString(" " + n.op + " ")
		write(out, n.y, right)
	case *like:
		write(out, n.x, powerLike)
		out.WriteString(negation(n.negated) + " LIKE ")
		writeLiteral(out, n.pattern)
	case *in:
		write(out, n.x, powerIn)
		out.WriteString(negation(n.negated) + " IN ")
		writeList(out, n.set)
	case *exists:
		out.WriteString("EXISTS " + n.name)
	case *call:
		out.WriteString(n.name)
		writeList(out, n.arguments)
	}
}

func negation(negated bool) string {
	if negated {
		return " NOT"
	}
	return ""
}

func writeList(out *strings.Builder, list []node) {
	out.WriteByte('(')
	for i, item := range list {
		if i > 0 {
			out.WriteString(", ")
		}
		write(out, item, 0)
	}
	out.WriteByte(')')
}

func writeLiteral(out *strings.Builder, l *literal) {
	switch l.value.Type() {
	case attribute.Boolean:
		out.WriteString(strings.ToUpper(l.value.String()))
	case attribute.Integer:
		number, _ := l.value.Integer()
		out.WriteString(strconv.Itoa(int(number)))
	default:
		// Not every string can be written with either quote, so what has quotes or backslashes stays as the user wrote it.
		if value := l.value.String(); !strings.ContainsAny(value, `\'`) {
			out.WriteString("'" + value + "'")
			return
		}
		out.WriteString(l.raw)
	}
}
