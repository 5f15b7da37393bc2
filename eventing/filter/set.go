package filter

import (
	"github.com/cloudevents/sdk-go/v2/event"
	iradix "github.com/hashicorp/go-immutable-radix"

	"ebb.dev/ebb/crds/cesql/attribute"
)

// Set answers for many filters at once which of them an event passes. A filter that can only pass events with certain values of an
// attribute costs nothing on the others, and one that several have is evaluated once. It is immutable: With and Without return another Set
// that shares most of it. The zero Set is empty; any number of goroutines may use a Set.
type Set[ID ~string] struct {
	// members is ID → text of its group, groups is text → *group, index is attribute NUL value → *bucket.
	members, groups, index *iradix.Tree
	// indexed counts, for each attribute, the groups that are found by it.
	indexed map[string]int
	// rest are the groups that no value of an attribute leads to.
	rest []*group[ID]
}

// group is a filter and whose it is. It is never changed.
type group[ID ~string] struct {
	text   string
	filter Filter
	ids    []ID
	// conditions may lead to the group; by is the one that does, nil if the group is in the rest.
	conditions []attribute.Condition
	by         *attribute.Condition
}

// bucket is what a value of an attribute leads to.
type bucket[ID ~string] struct {
	// wanted counts the groups with a condition that has this value, whichever attribute leads to them.
	wanted int
	groups []*group[ID]
}

// NewSet is a Set of the filters; a nil filter passes everything.
func NewSet[ID ~string](filters map[ID]Filter) *Set[ID] {
	byText := map[string]*group[ID]{}
	for id, f := range filters {
		g := newGroup(id, f)
		if same := byText[g.text]; same != nil {
			g = same
			g.ids = append(g.ids, id)
		}
		byText[g.text] = g
	}
	edit := (&Set[ID]{}).edit()
	// Counting first lets every group be found by the attribute that separates it best from all the others.
	for _, g := range byText {
		edit.count(g, 1)
	}
	for _, g := range byText {
		edit.place(g)
	}
	return edit.commit()
}

// newGroup is a group of one. A filter that is not of this package is a group of its own.
func newGroup[ID ~string](id ID, f Filter) *group[ID] {
	if f == nil {
		f = newCompiled(nil)
	}
	c, ours := f.(*compiled)
	if !ours {
		return &group[ID]{text: "of " + string(id), filter: f, ids: []ID{id}}
	}
	return &group[ID]{text: c.text, filter: f, ids: []ID{id}, conditions: c.conditions()}
}

// Len is how many filters there are.
func (s *Set[ID]) Len() int {
	if s == nil || s.members == nil {
		return 0
	}
	return s.members.Len()
}

// With is the set with the filter of that ID, in place of one it may have had; a nil filter passes everything.
func (s *Set[ID]) With(id ID, f Filter) *Set[ID] {
	edit := s.edit()
	edit.remove(id)
	edit.add(id, f)
	return edit.commit()
}

// Without is the set without the filter of that ID.
func (s *Set[ID]) Without(id ID) *Set[ID] {
	edit := s.edit()
	edit.remove(id)
	return edit.commit()
}

// Match reports the ID of each filter that passes the event, once, in no particular order.
func (s *Set[ID]) Match(e *event.Event, report func(ID)) {
	if s.Len() == 0 {
		return
	}
	v := views.Get().(*attribute.View)
	v.Reset(e)
	for _, g := range s.rest {
		g.match(v, e, report)
	}
	if len(s.indexed) > 0 {
		v.Each(func(name, text string) {
			if s.indexed[name] > 0 {
				s.matchIndexed(name, text, v, e, report)
			}
		})
	}
	v.Reset(nil)
	views.Put(v)
}

func (s *Set[ID]) matchIndexed(name, text string, v *attribute.View, e *event.Event, report func(ID)) {
	var space [256]byte
	found, ok := s.index.Get(appendKey(space[:0], name, text))
	if !ok {
		return
	}
	for _, g := range found.(*bucket[ID]).groups {
		g.match(v, e, report)
	}
}

func (g *group[ID]) match(v *attribute.View, e *event.Event, report func(ID)) {
	var pass bool
	if c, ours := g.filter.(*compiled); ours {
		pass = c.passes(v)
	} else {
		pass = g.filter.Pass(e)
	}
	if !pass {
		return
	}
	for _, id := range g.ids {
		report(id)
	}
}

// appendKey is the key of a value in the index; names have no NUL.
func appendKey(to []byte, name, text string) []byte {
	to = append(to, name...)
	to = append(to, 0)
	return append(to, text...)
}
