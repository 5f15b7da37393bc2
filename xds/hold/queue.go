package hold

import (
	"container/list"
	"time"
)

// queue is one revision's waiting requests and what it has free.
type queue struct {
	// waiting are by place, each oldest first.
	waiting map[place]*list.List
	// suspended are those whose check was cancelled a moment ago: who asks again for the same request takes its place.
	suspended map[ticket]*entry
	// size counts all of both.
	size  int
	last  uint64
	slots slots
}

// place is where a request waits: at a gateway, for a cluster.
type place struct{ gateway, cluster string }

// ticket tells a request from others.
type ticket struct{ gateway, id string }

type entry struct {
	request Request
	choice  Choice
	// vhost is the virtual host that led to the choice; empty when Envoy chose.
	vhost   string
	arrived time.Time
	// number is its turn.
	number uint64
	// verdict receives exactly one answer.
	verdict chan Verdict
	// element is its place in the list while it waits.
	element *list.Element
}

func (e *entry) place() place   { return place{e.request.Gateway, e.choice.Cluster} }
func (e *entry) ticket() ticket { return ticket{e.request.Gateway, e.request.ID} }

func newQueue() *queue {
	return &queue{waiting: map[place]*list.List{}, suspended: map[ticket]*entry{}}
}

func (q *queue) at(p place) *list.List {
	l, ok := q.waiting[p]
	if !ok {
		l = list.New()
		q.waiting[p] = l
	}
	return l
}

// push puts a new request at the end.
func (q *queue) push(e *entry) {
	q.last++
	q.size++
	e.number = q.last
	e.element = q.at(e.place()).PushBack(e)
}

// resume gives a request the place that it had before its check was cancelled, if it had one.
func (q *queue) resume(e *entry) bool {
	before, ok := q.suspended[e.ticket()]
	if !ok {
		return false
	}
	delete(q.suspended, e.ticket())
	e.arrived, e.number = before.arrived, before.number
	l := q.at(e.place())
	for later := l.Front(); later != nil; later = later.Next() {
		if later.Value.(*entry).number > e.number {
			e.element = l.InsertBefore(e, later)
			return true
		}
	}
	e.element = l.PushBack(e)
	return true
}

// suspend keeps the place of a request whose check was cancelled; it reports false when there is none to keep: it waits no
// more, or nobody could ask for the same again.
func (q *queue) suspend(e *entry) bool {
	if _, double := q.suspended[e.ticket()]; double || e.request.ID == "" || !q.unlink(e) {
		return false
	}
	q.suspended[e.ticket()] = e
	return true
}

// expire ends a suspended request; it reports false when it is so no more.
func (q *queue) expire(e *entry) bool {
	if q.suspended[e.ticket()] != e {
		return false
	}
	delete(q.suspended, e.ticket())
	q.size--
	return true
}

// remove ends a waiting request; it reports false when it waits no more.
func (q *queue) remove(e *entry) bool {
	if !q.unlink(e) {
		return false
	}
	q.size--
	return true
}

func (q *queue) unlink(e *entry) bool {
	if e.element == nil {
		return false
	}
	l := q.waiting[e.place()]
	l.Remove(e.element)
	e.element = nil
	if l.Len() == 0 {
		delete(q.waiting, e.place())
	}
	return true
}

// oldest returns the request whose turn it is, of those at places where ready says that there is something for them.
func (q *queue) oldest(ready map[place]int, free func(ready int) bool) *entry {
	var best *entry
	for p, n := range ready {
		l, ok := q.waiting[p]
		if !ok || n == 0 || !free(n) {
			continue
		}
		if e := l.Front().Value.(*entry); best == nil || e.number < best.number {
			best = e
		}
	}
	return best
}

// each calls f for every waiting request.
func (q *queue) each(f func(*entry)) {
	for _, l := range q.waiting {
		for element := l.Front(); element != nil; element = element.Next() {
			f(element.Value.(*entry))
		}
	}
}
