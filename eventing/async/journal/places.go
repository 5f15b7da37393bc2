package journal

import (
	"container/heap"

	"ebb.dev/ebb/eventing/async/request"
	"ebb.dev/ebb/eventing/log"
)

// spot is where an event lies: its position, its size in bytes and how many bytes of the journal were before it.
type spot struct {
	at     log.Position
	size   int64
	before int64
}

// place is where the parts of a request lie. A spot without a position is none.
type place struct {
	id      string
	version uint64
	// last has the record; request and answer have those parts, and may be the same event.
	last, request, answer spot
	// oldest is the first of those that are wanted.
	oldest spot
	// final says that the request's part is not wanted any more.
	final bool
}

// wanted are the different spots that have something that is wanted.
func (p *place) wanted() []spot {
	out := []spot{p.last}
	if !p.final && p.request.at != 0 && p.request.at != p.last.at {
		out = append(out, p.request)
	}
	if p.answer.at != 0 && p.answer.at != p.last.at {
		out = append(out, p.answer)
	}
	return out
}

// places is where everything lies.
type places struct {
	byID map[string]*place
	// order has a mark for each place at the position that is its oldest, and marks that are out of date.
	order marks
	// live is how many bytes are wanted, written how many there were altogether.
	live, written int64
}

// mark says that a place once had its oldest spot at a position.
type mark struct {
	at    log.Position
	place *place
}

type marks []mark

func (m marks) Len() int           { return len(m) }
func (m marks) Less(i, j int) bool { return m[i].at < m[j].at }
func (m marks) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *marks) Push(x any)        { *m = append(*m, x.(mark)) }
func (m *marks) Pop() any {
	last := len(*m) - 1
	x := (*m)[last]
	(*m)[last] = mark{}
	*m = (*m)[:last]
	return x
}

// add takes note of a stored step.
func (p *places) add(s step, at log.Position, size int64) {
	spot := spot{at: at, size: size, before: p.written}
	p.written += size
	here, known := p.byID[s.Record.ID]
	if !known {
		here = &place{id: s.Record.ID}
		p.byID[s.Record.ID] = here
	}
	p.live -= here.bytes()
	switch {
	case s.Request != nil:
		here.request = spot
	case s.Answer != nil && s.Record.Version >= here.version:
		here.answer = spot
	}
	if s.Record.Version >= here.version {
		here.version, here.last, here.final = s.Record.Version, spot, !s.Record.NeedsRequest()
		if !s.Record.Kept {
			here.answer = spot0
		}
	}
	p.live += here.bytes()
	p.remember(here)
}

var spot0 spot

func (p *place) bytes() int64 {
	var sum int64
	for _, s := range p.wanted() {
		sum += s.size
	}
	return sum
}

// remember marks a place's oldest spot.
func (p *places) remember(here *place) {
	oldest := here.last
	for _, s := range here.wanted() {
		if s.at < oldest.at {
			oldest = s
		}
	}
	if oldest == here.oldest {
		return
	}
	here.oldest = oldest
	heap.Push(&p.order, mark{oldest.at, here})
	if len(p.order) > 2*len(p.byID)+1024 {
		p.rebuild()
	}
}

// rebuild drops the marks that are out of date.
func (p *places) rebuild() {
	p.order = p.order[:0]
	for _, here := range p.byID {
		p.order = append(p.order, mark{here.oldest.at, here})
	}
	heap.Init(&p.order)
}

// drop forgets a request.
func (p *places) drop(id string) {
	if here, known := p.byID[id]; known {
		p.live -= here.bytes()
		delete(p.byID, id)
		here.oldest = spot0
	}
}

// first is the place with the oldest event that is wanted; nil if nothing is.
func (p *places) first() *place {
	for len(p.order) > 0 {
		if top := p.order[0]; top.place.oldest.at == top.at {
			return top.place
		}
		heap.Pop(&p.order)
	}
	return nil
}

// span is how many bytes there are from the oldest event that is wanted on.
func (p *places) span() int64 {
	if first := p.first(); first != nil {
		return p.written - first.oldest.before
	}
	return 0
}

// needs reports whether a record's request part is to be stored again when its place moves.
func needs(r request.Record, here *place) bool { return r.NeedsRequest() && here.request.at != 0 }
