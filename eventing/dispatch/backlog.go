package dispatch

import (
	"sync"

	"ebb.dev/ebb/eventing/model"
)

// crowds are the readers that have events waiting behind those under way. A reader without any costs nothing here.
type crowds struct {
	mu      sync.Mutex
	readers map[*reader]struct{}
	// grown has room for one: it says that a reader was added.
	grown chan struct{}
}

// add has a reader looked at from now on.
func (c *crowds) add(r *reader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readers[r] = struct{}{}
	select {
	case c.grown <- struct{}{}:
	default:
	}
}

func (c *crowds) drop(r *reader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.readers, r)
}

func (c *crowds) all() []*reader {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*reader, 0, len(c.readers))
	for r := range c.readers {
		all = append(all, r)
	}
	return all
}

// Crowded gets a value when events have begun to wait for a subscriber for which none waited at the last Backlogs.
func (d *Dispatcher) Crowded() <-chan struct{} { return d.crowds.grown }

// Backlogs is what waits for subscribers that do not keep pace, reader by reader.
func (d *Dispatcher) Backlogs() []model.Backlog {
	var all []model.Backlog
	for _, r := range d.crowds.all() {
		if b := r.backlog(); b.Waiting > 0 {
			all = append(all, b)
		}
	}
	return all
}

// crowd has the dispatcher look at the reader if its events wait for their turns; those without an order, once they have for some time.
// r.mu is held.
func (r *reader) crowd() {
	if !r.crowded && (r.spec.Ordered || r.turns.overlap) && r.queued() > 0 {
		r.crowded = true
		r.d.crowds.add(r)
	}
}

// queued is how many events wait for those before them, as far as the reader has looked at them. r.mu is held.
func (r *reader) queued() int { return r.window.Open() - r.window.InFlight() }

// backlog is what waits for the reader's subscriber; a reader with nothing is not looked at any more.
func (r *reader) backlog() model.Backlog {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := model.Backlog{URL: r.spec.Subscriber.URL}
	now := r.d.Clock.Now()
	var has load
	// Workers are not counted here: until they have looked there are more of them than deliveries.
	underWay := r.window.InFlight()
	// What waits for a retry of its own or of one before it is not to be delivered now.
	if !r.halted() && (underWay > 0 || r.window.Ready(now, 1) > 0) {
		has = r.load()
	}
	if b.Waiting = has.waiting; b.Waiting == 0 {
		r.crowded = false
		r.d.crowds.drop(r)
		return b
	}
	few, most := r.overlap()
	if r.spec.Ordered {
		b.AtOnce = min(underWay+r.window.Ready(now, few), few) // one of each lane
		return b
	}
	b.AtOnce = r.turns.target(now, has, few, most)
	b.Due = max(min(b.AtOnce-underWay, b.Waiting), 0)
	b.PerSecond = r.turns.perSecond(now, b.AtOnce, has.perSecond())
	if most := r.spec.Rate; most > 0 {
		// It is the rate that has events wait, not the subscriber: more replicas would change nothing.
		b.AtOnce, b.Due, b.PerSecond = max(underWay, 1), 0, min(b.PerSecond, most)
	}
	return b
}
