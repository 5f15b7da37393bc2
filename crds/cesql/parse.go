package cesql

import (
	"strconv"
	"strings"

	"ebb.dev/ebb/crds/cesql/attribute"
)

// Bounds on what is parsed: the length in bytes, and how deep parentheses, calls and unary operators may be nested.
const (
	MaxLength  = 64 << 10
	MaxNesting = 500
)

// Expression is a parsed expression.
type Expression struct{ root node }

// String is the expression in canonical form: two expressions that differ in spaces, in the case of keywords or in parentheses that change
// nothing have the same. It parses to the same expression.
func (e *Expression) String() string {
	var out strings.Builder
	write(&out, e.root, 0)
	return out.String()
}

// Parse reads an expression; the error is a *SyntaxError.
func Parse(source string) (*Expression, error) {
	if len(source) > MaxLength {
		return nil, syntaxError(place{line: 1, column: 1}, "at most "+strconv.Itoa(MaxLength)+" bytes", strconv.Itoa(len(source)))
	}
	tokens, err := scan(source)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	root, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if p.peek().kind != end {
		return nil, p.unexpected("an operator or the end of the expression")
	}
	return &Expression{root: root}, nil
}

// parser is a precedence climbing parser over the tokens of one expression.
type parser struct {
	tokens  []token
	next    int
	nesting int
}

func (p *parser) peek() token { return p.tokens[p.next] }

// take returns the next token and moves past it; the end stays.
func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.kind != end {
		p.next++
	}
	return t
}

// accept moves past the keyword or symbol if it is next.
func (p *parser) accept(text string) bool {
	if p.peek().is(text) {
		p.next++
		return true
	}
	return false
}

func (p *parser) unexpected(expected string) error {
	found := "the end of the expression"
	if t := p.peek(); t.kind != end {
		found = quote(t.raw)
	}
	return syntaxError(p.peek().at, expected, found)
}

func (p *parser) expect(symbol, expected string) error {
	if !p.accept(symbol) {
		return p.unexpected(expected)
	}
	return nil
}

// nested runs parse one level deeper.
func (p *parser) nested(parse func() (node, error)) (node, error) {
	if p.nesting == MaxNesting {
		return nil, p.unexpected("at most " + strconv.Itoa(MaxNesting) + " levels of nesting")
	}
	p.nesting++
	defer func() { p.nesting-- }()
	return parse()
}

// expression reads operands joined by operators that bind with at least that power.
func (p *parser) expression(least int) (node, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	for {
		extended, err := p.extend(left, least)
		if err != nil || extended == nil {
			return left, err
		}
		left = extended
	}
}

// extend reads one operator after left with its right side; nil if there is none that binds with at least that power.
func (p *parser) extend(left node, least int) (node, error) {
	operator := p.peek()
	if operator.kind != word && operator.kind != symbol {
		return nil, nil
	}
	if power, ok := powers[operator.text]; ok && power >= least {
		p.take()
		if power == powerLogic {
			return p.logic(left, operator)
		}
		right, err := p.expression(power + 1)
		return &binary{place: operator.at, op: operator.text, x: left, y: right}, err
	}
	negated := operator.is("NOT")
	if negated {
		operator = p.tokens[p.next+1]
	}
	isLike, isIn := operator.is("LIKE"), operator.is("IN")
	switch {
	case isLike && least <= powerLike:
		return p.like(left, negated)
	case isIn && least <= powerIn:
		return p.in(left, negated)
	case negated && !isLike && !isIn:
		return nil, p.unexpected("an operator or the end of the expression")
	}
	return nil, nil
}

// logic reads the rest of a chain of AND, OR and XOR, which groups to the right. It does so in a loop, so that a chain may be as long as
// the expression.
func (p *parser) logic(first node, operator token) (node, error) {
	operands, operators := []node{first}, []token{operator}
	for {
		operand, err := p.expression(powerLogic + 1)
		if err != nil {
			return nil, err
		}
		operands = append(operands, operand)
		next := p.peek()
		if next.kind != word || powers[next.text] != powerLogic {
			break
		}
		operators = append(operators, p.take())
	}
	right := operands[len(operands)-1]
	for i := len(operators) - 1; i >= 0; i-- {
		right = &binary{place: operators[i].at, op: operators[i].text, x: operands[i], y: right}
	}
	return right, nil
}

func (p *parser) like(left node, negated bool) (node, error) {
	if negated {
		p.take()
	}
	at := p.take().at
	if p.peek().kind != text {
		return nil, p.unexpected("a pattern in quotes")
	}
	return &like{place: at, negated: negated, x: left, pattern: stringLiteral(p.take())}, nil
}

func (p *parser) in(left node, negated bool) (node, error) {
	if negated {
		p.take()
	}
	at := p.take().at
	if err := p.expect("(", `"(" and the values to compare with`); err != nil {
		return nil, err
	}
	set, err := p.list()
	return &in{place: at, negated: negated, x: left, set: set}, err
}

// list reads expressions separated by commas, at least one, and the closing parenthesis.
func (p *parser) list() ([]node, error) {
	var list []node
	for {
		item, err := p.nested(func() (node, error) { return p.expression(0) })
		if err != nil {
			return nil, err
		}
		list = append(list, item)
		if p.accept(")") {
			return list, nil
		}
		if err := p.expect(",", `an operator, "," or ")"`); err != nil {
			return nil, err
		}
	}
}

const operandExpected = `an attribute, a literal, a function, NOT, EXISTS, "-" or "("`

// operand reads what stands between operators.
func (p *parser) operand() (node, error) {
	t := p.peek()
	switch {
	case t.kind == number:
		return p.number(p.take(), "")
	case t.kind == text:
		return stringLiteral(p.take()), nil
	case t.is("TRUE"), t.is("FALSE"):
		p.take()
		return &literal{place: t.at, value: attribute.Truth(t.text == "TRUE")}, nil
	case t.is("EXISTS"):
		p.take()
		return p.exists(t)
	case t.is("NOT"), t.is("-"), t.is("+"):
		return p.prefixed(t)
	case t.is("("):
		p.take()
		inner, err := p.nested(func() (node, error) { return p.expression(0) })
		if err != nil {
			return nil, err
		}
		return inner, p.expect(")", `an operator or ")"`)
	case t.kind == word && !keywords[t.text]:
		return p.named(p.take())
	default:
		return nil, p.unexpected(operandExpected)
	}
}

// prefixed reads NOT, a negation or a signed number.
func (p *parser) prefixed(sign token) (node, error) {
	following := p.tokens[p.next+1]
	if !sign.is("NOT") && following.kind == number && following.at.offset == sign.at.offset+1 {
		p.take()
		p.take()
		return p.number(following, sign.text)
	}
	if sign.is("+") {
		return nil, p.unexpected(operandExpected)
	}
	p.take()
	x, err := p.nested(func() (node, error) { return p.expression(powerUnary) })
	return &unary{place: sign.at, op: sign.text, x: x}, err
}

// number is a literal of the digits with their sign.
func (p *parser) number(digits token, sign string) (node, error) {
	value, ok := attribute.ParseInteger(sign + digits.text)
	if !ok {
		return nil, syntaxError(digits.at, "an integer from -2147483648 to 2147483647", quote(sign+digits.raw))
	}
	return &literal{place: digits.at, value: attribute.Number(value)}, nil
}

func stringLiteral(t token) *literal {
	return &literal{place: t.at, value: attribute.Text(t.text), raw: t.raw}
}

func (p *parser) exists(keyword token) (node, error) {
	name := p.peek()
	if (name.kind != word && name.kind != number) || keywords[name.text] || strings.Contains(name.text, "_") {
		return nil, p.unexpected("the name of an attribute")
	}
	p.take()
	return &exists{place: keyword.at, name: strings.ToLower(name.text)}, nil
}

// named is a call if a parenthesis follows the name, else an attribute.
func (p *parser) named(name token) (node, error) {
	if !p.peek().is("(") {
		if strings.Contains(name.text, "_") {
			return nil, syntaxError(name.at, "an attribute's name to have only letters and digits", quote(name.raw))
		}
		return &identifier{place: name.at, name: strings.ToLower(name.text)}, nil
	}
	if strings.ContainsAny(name.text, "0123456789") {
		return nil, syntaxError(name.at, "a function's name to have only letters and underscores", quote(name.raw))
	}
	p.take()
	function := &call{place: name.at, name: name.text}
	if p.accept(")") {
		return function, nil
	}
	var err error
	function.arguments, err = p.list()
	return function, err
}
