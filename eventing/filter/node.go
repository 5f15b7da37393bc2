package filter

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/crds/cesql"
	"ebb.dev/ebb/crds/cesql/attribute"
)

// node is a compiled filter or a part of one. nil passes everything.
type node interface {
	pass(v *attribute.View) bool
	// String is the same for two nodes only if they pass the same events.
	String() string
	// conditions must all hold for an event to pass; they need not suffice.
	conditions() []attribute.Condition
}

type (
	// exact, prefix and suffix compare an attribute's text with a value; present asks for a text that is not empty.
	exact   struct{ comparison }
	prefix  struct{ comparison }
	suffix  struct{ comparison }
	present struct{ name attribute.Name }
	all     []node
	oneOf   []node
	not     struct{ node }
	// expression is a CloudEvents SQL expression.
	expression struct{ *cesql.Program }
)

type comparison struct {
	name  attribute.Name
	value string
}

func newExact(name attribute.Name, value string) node  { return &exact{comparison{name, value}} }
func newPrefix(name attribute.Name, value string) node { return &prefix{comparison{name, value}} }
func newSuffix(name attribute.Name, value string) node { return &suffix{comparison{name, value}} }

// newAll joins nodes that must all pass: those of an inner one come in its place, and those that pass everything fall out.
func newAll(nodes []node) node {
	var flat all
	for _, n := range nodes {
		if inner, ok := n.(all); ok {
			flat = append(flat, inner...)
		} else if n != nil {
			flat = append(flat, n)
		}
	}
	switch len(flat) {
	case 0:
		return nil
	case 1:
		return flat[0]
	}
	return flat
}

// newAny joins nodes of which one must pass.
func newAny(nodes []node) node {
	var flat oneOf
	for _, n := range nodes {
		if n == nil {
			return nil
		}
		if inner, ok := n.(oneOf); ok {
			flat = append(flat, inner...)
		} else {
			flat = append(flat, n)
		}
	}
	if len(flat) == 1 {
		return flat[0]
	}
	return flat
}

func newNot(n node) node {
	if n == nil {
		return nil
	}
	return &not{n}
}

func (n *exact) pass(v *attribute.View) bool {
	text, ok := v.Text(n.name)
	return ok && text == n.value
}

func (n *prefix) pass(v *attribute.View) bool {
	text, ok := v.Text(n.name)
	return ok && strings.HasPrefix(text, n.value)
}

func (n *suffix) pass(v *attribute.View) bool {
	text, ok := v.Text(n.name)
	return ok && strings.HasSuffix(text, n.value)
}

func (n *present) pass(v *attribute.View) bool {
	text, ok := v.Text(n.name)
	return ok && text != ""
}

func (n all) pass(v *attribute.View) bool {
	for _, inner := range n {
		if !inner.pass(v) {
			return false
		}
	}
	return true
}

func (n oneOf) pass(v *attribute.View) bool {
	for _, inner := range n {
		if inner.pass(v) {
			return true
		}
	}
	return false
}

func (n *not) pass(v *attribute.View) bool        { return !n.node.pass(v) }
func (n *expression) pass(v *attribute.View) bool { return n.Pass(v) }

func (c comparison) String() string  { return c.name.String() + " " + strconv.Quote(c.value) }
func (n *exact) String() string      { return "exact " + n.comparison.String() }
func (n *prefix) String() string     { return "prefix " + n.comparison.String() }
func (n *suffix) String() string     { return "suffix " + n.comparison.String() }
func (n *present) String() string    { return "present " + n.name.String() }
func (n all) String() string         { return "all" + listed(n) }
func (n oneOf) String() string       { return "any" + listed(n) }
func (n *not) String() string        { return "not (" + n.node.String() + ")" }
func (n *expression) String() string { return "cesql " + strconv.Quote(n.Program.String()) }

func listed(nodes []node) string {
	texts := make([]string, len(nodes))
	for i, n := range nodes {
		texts[i] = n.String()
	}
	return "(" + strings.Join(texts, ", ") + ")"
}

func (n *exact) conditions() []attribute.Condition {
	if !n.name.Listed() {
		return nil
	}
	return []attribute.Condition{{Name: n.name.String(), Values: []string{n.value}}}
}

func (n *prefix) conditions() []attribute.Condition     { return nil }
func (n *suffix) conditions() []attribute.Condition     { return nil }
func (n *present) conditions() []attribute.Condition    { return nil }
func (n *not) conditions() []attribute.Condition        { return nil }
func (n *expression) conditions() []attribute.Condition { return n.Conditions() }

func (n all) conditions() []attribute.Condition {
	var out []attribute.Condition
	for _, inner := range n {
		out = slices.Concat(out, inner.conditions())
	}
	return out
}

func (n oneOf) conditions() []attribute.Condition {
	out := n[0].conditions()
	for _, inner := range n[1:] {
		out = attribute.Either(out, inner.conditions())
	}
	return out
}

// compiled is a Filter of this package.
type compiled struct {
	root node
	// text is the root's String.
	text string
}

func newCompiled(root node) *compiled {
	if root == nil {
		return &compiled{text: "everything"}
	}
	return &compiled{root: root, text: root.String()}
}

// views are kept for reuse: one event needs one, and a dispatcher sees many events.
var views = sync.Pool{New: func() any { return new(attribute.View) }}

func (c *compiled) Pass(e *event.Event) bool {
	v := views.Get().(*attribute.View)
	v.Reset(e)
	pass := c.passes(v)
	v.Reset(nil)
	views.Put(v)
	return pass
}

func (c *compiled) passes(v *attribute.View) bool { return c.root == nil || c.root.pass(v) }

func (c *compiled) conditions() []attribute.Condition {
	if c.root == nil {
		return nil
	}
	return c.root.conditions()
}

// String is the same for two filters only if they pass the same events.
func (c *compiled) String() string { return c.text }
