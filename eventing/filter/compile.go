package filter

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"weak"

	"ebb.dev/ebb/crds/cesql"
	"ebb.dev/ebb/crds/cesql/attribute"
)

// MaxNesting is how deep all, any and not may be nested.
const MaxNesting = 100

// Compile compiles a Trigger's filters. The error joins one for each thing that is wrong, with its path and what was expected there, as in
// "filters[1].all[0].cesql: line 1, column 8: expected …".
func Compile(spec Spec) (Filter, error) {
	return new(Compiler).Compile(spec)
}

// Compiler compiles filters and shares the expressions they have in common for as long as one of them is in use. Its zero value is ready,
// and it is safe for use by several goroutines.
type Compiler struct {
	mu       sync.Mutex
	programs map[string]weak.Pointer[cesql.Program]
	// sweep is the size at which programs that nobody uses any more are forgotten.
	sweep int
}

// Compile is Compile of the package, with what c has compiled before.
func (c *Compiler) Compile(spec Spec) (Filter, error) {
	compilation := &compilation{compiler: c}
	var root node
	if len(spec.Filters) > 0 {
		root = compilation.list("filters", spec.Filters, newAll, 0)
	} else if spec.Filter != nil {
		root = compilation.attributes("filter.attributes", spec.Filter.Attributes, attributeNode)
	}
	if len(compilation.problems) > 0 {
		return nil, errors.Join(compilation.problems...)
	}
	return newCompiled(root), nil
}

// program is the compiled expression, shared with whoever uses it already.
func (c *Compiler) program(source string) (*cesql.Program, error) {
	expression, err := cesql.Parse(source)
	if err != nil {
		return nil, err
	}
	key := expression.String()
	c.mu.Lock()
	defer c.mu.Unlock()
	if program := c.programs[key].Value(); program != nil {
		return program, program.Problem()
	}
	program := expression.Compile()
	if err := program.Problem(); err != nil {
		return nil, err
	}
	c.remember(key, program)
	return program, nil
}

func (c *Compiler) remember(key string, program *cesql.Program) {
	const small = 64
	if c.programs == nil {
		c.programs, c.sweep = map[string]weak.Pointer[cesql.Program]{}, small
	}
	if len(c.programs) >= c.sweep {
		maps.DeleteFunc(c.programs, func(_ string, p weak.Pointer[cesql.Program]) bool { return p.Value() == nil })
		c.sweep = max(small, 2*len(c.programs))
	}
	c.programs[key] = weak.Make(program)
}

// compilation is the compiling of one spec.
type compilation struct {
	compiler *Compiler
	problems []error
}

func (c *compilation) refuse(path, format string, args ...any) node {
	c.problems = append(c.problems, fmt.Errorf(path+": "+format, args...))
	return nil
}

// dialect compiles one filter; nil passes everything.
func (c *compilation) dialect(path string, d *Dialect, depth int) node {
	if depth > MaxNesting {
		return c.refuse(path, "nested more than %d deep", MaxNesting)
	}
	names := d.names()
	if len(names) == 0 {
		return nil
	}
	if len(names) > 1 {
		return c.refuse(path, "has %s: a filter has one dialect; put each in a filter of its own", strings.Join(names, " and "))
	}
	path += "." + names[0]
	switch names[0] {
	case "exact":
		return c.attributes(path, d.Exact, c.valued(path, newExact))
	case "prefix":
		return c.attributes(path, d.Prefix, c.valued(path, newPrefix))
	case "suffix":
		return c.attributes(path, d.Suffix, c.valued(path, newSuffix))
	case "all":
		return c.list(path, d.All, newAll, depth)
	case "any":
		return c.list(path, d.Any, newAny, depth)
	case "not":
		return newNot(c.dialect(path, d.Not, depth+1))
	}
	program, err := c.compiler.program(d.CESQL)
	if err != nil {
		return c.refuse(path, "%w", err)
	}
	return &expression{program}
}

func (c *compilation) list(path string, filters []Dialect, combine func([]node) node, depth int) node {
	nodes := make([]node, len(filters))
	for i := range filters {
		nodes[i] = c.dialect(fmt.Sprintf("%s[%d]", path, i), &filters[i], depth+1)
	}
	return combine(nodes)
}

// attributes makes a node for each attribute, all of which must pass, in the order of their names.
func (c *compilation) attributes(path string, values map[string]string, make func(name attribute.Name, value string) node) node {
	var nodes []node
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !validName(name) {
			c.refuse(path, "%q is no attribute's name: it is to begin with a lower-case letter, and to have only those and digits", name)
			continue
		}
		nodes = append(nodes, make(attribute.ResolveLegacy(name), values[name]))
	}
	return newAll(nodes)
}

// valued makes a node and refuses an empty value.
func (c *compilation) valued(path string, make func(attribute.Name, string) node) func(attribute.Name, string) node {
	return func(name attribute.Name, value string) node {
		if value == "" {
			return c.refuse(path, "the value of %s is empty", name)
		}
		return make(name, value)
	}
}

// attributeNode is a node of the older form, where the empty value asks only for the attribute to be there.
func attributeNode(name attribute.Name, value string) node {
	if value == "" {
		return &present{name}
	}
	return newExact(name, value)
}

func validName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
