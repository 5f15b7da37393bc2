package cesql_test

import (
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/crds/cesql"
	"ebb.dev/ebb/crds/cesql/attribute"
)

func sample() *event.Event {
	e := event.New()
	e.SetID("an-id")
	e.SetSource("/shop/till")
	e.SetType("com.example.order.created")
	e.SetSubject("café")
	e.SetExtension("region", "eu")
	e.SetExtension("hop", 5)
	e.SetExtension("urgent", true)
	return &e
}

func viewOf(e *event.Event) *attribute.View {
	var v attribute.View
	v.Reset(e)
	return &v
}

// FuzzParse holds the parser to its promises: no text makes it or an evaluation panic, and what parses has a canonical form that parses to
// the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "(", "1 +", "'a", "x LIKE", "a IN ()", "EXISTS", "NOT", "--10", "- 10", "4-1", "4 - -1", "-2147483648", "- -2147483648",
		"a AND b OR NOT c XOR d", "(a AND b) OR c", "a = b = c", "a = (b = c)", "1 - (2 - 3) * 4", "NOT (a LIKE 'x') LIKE 'y'",
		"NOT a NOT LIKE 'x'", "(x IN (1, 2)) LIKE '%'", "x LIKE 'a' IN (TRUE)", "a * b IN (1)", `'it\'s' = "it's"`, `"\\" = '\"'`, `'\''`,
		"CONCAT_WS(',', a, LEFT(b, 2))", "substring('abc', 2, -2)", "int(hop) < 10 and urgent", "type LIKE 'com.%\\_%'", "é = 'é'",
		"'' '' ''", "\"\"\"\"", "a\n=\n'b'", "hop % 0 = 1", "RIGHT(subject, 2) = 'fé'",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		expression, err := cesql.Parse(source)
		if err != nil {
			return
		}
		canonical := expression.String()
		again, err := cesql.Parse(canonical)
		if err != nil {
			t.Fatalf("%q is %q in canonical form, which does not parse: %v", source, canonical, err)
		}
		if got := again.String(); got != canonical {
			t.Fatalf("%q is %q, and that is %q", source, canonical, got)
		}
		view := viewOf(sample())
		program := expression.Compile()
		value, failed := program.Evaluate(view)
		valueAgain, failedAgain := again.Compile().Evaluate(view)
		if value != valueAgain || (failed == nil) != (failedAgain == nil) {
			t.Fatalf("%q is %v (%v), but %q is %v (%v)", source, value, failed, canonical, valueAgain, failedAgain)
		}
		if pass, want := program.Pass(view), failed == nil && value == attribute.Truth(true); pass != want {
			t.Fatalf("%q passes: %t, but is %v (%v)", source, pass, value, failed)
		}
		if !program.Pass(view) {
			return
		}
		for _, condition := range program.Conditions() {
			text, ok := view.Text(attribute.Resolve(condition.Name))
			if !ok || !contains(condition.Values, text) {
				t.Fatalf("%q passes an event that does not meet %v", source, condition)
			}
		}
	})
}

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}
