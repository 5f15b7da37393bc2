package filter

import (
	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/crds/cesql/attribute"
)

// Candidates is how many groups Match evaluates for the event.
func Candidates[ID ~string](s *Set[ID], e *event.Event) int {
	n := len(s.rest)
	v := new(attribute.View)
	v.Reset(e)
	v.Each(func(name, text string) {
		if found, ok := s.index.Get(appendKey(nil, name, text)); ok {
			n += len(found.(*bucket[ID]).groups)
		}
	})
	return n
}

// IsBare reports whether the set keeps nothing.
func IsBare[ID ~string](s *Set[ID]) bool {
	return s.members.Len() == 0 && s.groups.Len() == 0 && s.index.Len() == 0 && len(s.indexed) == 0 && len(s.rest) == 0
}

// ShareAProgram reports whether two filters, each of two parts, have the same expression as their second.
func ShareAProgram(a, b Filter) bool {
	program := func(f Filter) any { return f.(*compiled).root.(all)[1].(*expression).Program }
	return program(a) == program(b)
}

// Remembered is how many expressions the compiler remembers.
func Remembered(c *Compiler) int { return len(c.programs) }
