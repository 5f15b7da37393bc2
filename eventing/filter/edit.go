package filter

import (
	"maps"
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix"

	"ebb.dev/ebb/crds/cesql/attribute"
)

// edit makes a new Set out of one.
type edit[ID ~string] struct {
	members, groups, index *iradix.Txn
	indexed                map[string]int
	rest                   []*group[ID]
}

func (s *Set[ID]) edit() *edit[ID] {
	if s == nil || s.members == nil {
		s = &Set[ID]{members: iradix.New(), groups: iradix.New(), index: iradix.New()}
	}
	e := &edit[ID]{
		members: s.members.Txn(), groups: s.groups.Txn(), index: s.index.Txn(),
		indexed: maps.Clone(s.indexed), rest: slices.Clone(s.rest),
	}
	if e.indexed == nil {
		e.indexed = map[string]int{}
	}
	return e
}

func (e *edit[ID]) commit() *Set[ID] {
	return &Set[ID]{members: e.members.Commit(), groups: e.groups.Commit(), index: e.index.Commit(), indexed: e.indexed, rest: e.rest}
}

// add gives the ID that filter; it must have none.
func (e *edit[ID]) add(id ID, f Filter) {
	added := newGroup(id, f)
	if same, ok := e.groups.Get([]byte(added.text)); ok {
		old := same.(*group[ID])
		grown := *old
		grown.ids = append(slices.Clone(old.ids), id)
		e.replace(old, &grown)
		e.members.Insert([]byte(id), grown.text)
		return
	}
	e.count(added, 1)
	e.place(added)
}

// remove takes the ID's filter away, if it has one.
func (e *edit[ID]) remove(id ID) {
	member, ok := e.members.Delete([]byte(id))
	if !ok {
		return
	}
	current, _ := e.groups.Get([]byte(member.(string)))
	old := current.(*group[ID])
	if len(old.ids) > 1 {
		shrunk := *old
		shrunk.ids = slices.DeleteFunc(slices.Clone(old.ids), func(other ID) bool { return other == id })
		e.replace(old, &shrunk)
		return
	}
	e.groups.Delete([]byte(old.text))
	e.count(old, -1)
	e.list(old, nil)
}

// place puts a new group where events will find it.
func (e *edit[ID]) place(g *group[ID]) {
	g.by = e.best(g)
	e.groups.Insert([]byte(g.text), g)
	for _, id := range g.ids {
		e.members.Insert([]byte(id), g.text)
	}
	e.list(nil, g)
}

// replace puts a group in the place of another with the same filter.
func (e *edit[ID]) replace(old, replacement *group[ID]) {
	e.groups.Insert([]byte(old.text), replacement)
	e.list(old, replacement)
}

// list takes old out of the lists that Match reads and puts replacement in; either may be nil. Both are found in the same way.
func (e *edit[ID]) list(old, replacement *group[ID]) {
	either := old
	if old == nil {
		either = replacement
	}
	by := either.by
	if by == nil {
		e.rest = exchange(e.rest, old, replacement)
		return
	}
	for _, value := range by.Values {
		e.change(by.Name, value, func(b *bucket[ID]) {
			b.groups = exchange(slices.Clone(b.groups), old, replacement)
		})
	}
	switch {
	case old == nil:
		e.indexed[by.Name]++
	case replacement == nil:
		if e.indexed[by.Name]--; e.indexed[by.Name] == 0 {
			delete(e.indexed, by.Name)
		}
	}
}

// exchange replaces, removes or appends in place.
func exchange[G comparable](list []G, old, replacement G) []G {
	var none G
	at := slices.Index(list, old)
	switch {
	case at < 0:
		return append(list, replacement)
	case replacement == none:
		return slices.Delete(list, at, at+1)
	}
	list[at] = replacement
	return list
}

// count adds to how many groups want the values of the group's conditions.
func (e *edit[ID]) count(g *group[ID], by int) {
	for _, condition := range g.conditions {
		for _, value := range condition.Values {
			e.change(condition.Name, value, func(b *bucket[ID]) { b.wanted += by })
		}
	}
}

// change changes a copy of the bucket of that value; an empty one goes.
func (e *edit[ID]) change(name, value string, apply func(*bucket[ID])) {
	key := appendKey(nil, name, value)
	var changed bucket[ID]
	if found, ok := e.index.Get(key); ok {
		changed = *found.(*bucket[ID])
	}
	apply(&changed)
	if changed.wanted == 0 && len(changed.groups) == 0 {
		e.index.Delete(key)
		return
	}
	e.index.Insert(key, &changed)
}

// best is the condition whose values the fewest groups want, nil if there is none.
func (e *edit[ID]) best(g *group[ID]) *attribute.Condition {
	var best *attribute.Condition
	fewest := 0
	for i := range g.conditions {
		wanted := 0
		for _, value := range g.conditions[i].Values {
			if found, ok := e.index.Get(appendKey(nil, g.conditions[i].Name, value)); ok {
				wanted += found.(*bucket[ID]).wanted
			}
		}
		if best == nil || wanted < fewest {
			best, fewest = &g.conditions[i], wanted
		}
	}
	return best
}
