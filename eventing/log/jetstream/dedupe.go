package jetstream

import (
	"time"

	"ebb.dev/ebb/eventing/log"
)

// dedupe remembers the events of a window of time. It is not for use by several goroutines at once.
type dedupe struct {
	window time.Duration
	known  map[log.Identity]log.Position
	// queue has the keys in the order of their times, so that forgetting takes no search.
	queue []dedupeEntry
	begin int
}

type dedupeEntry struct {
	key      log.Identity
	position log.Position
	stored   time.Time
}

func newDedupe(window time.Duration) *dedupe {
	return &dedupe{window: window, known: make(map[log.Identity]log.Position)}
}

// find returns the position of an event that was stored within the window.
func (d *dedupe) find(key log.Identity, now time.Time) (log.Position, bool) {
	d.forget(now)
	p, ok := d.known[key]
	return p, ok
}

func (d *dedupe) add(key log.Identity, p log.Position, stored time.Time) {
	d.known[key] = p
	d.queue = append(d.queue, dedupeEntry{key: key, position: p, stored: stored})
}

// addCommit remembers what was stored, by this process or another.
func (d *dedupe) addCommit(c *commit) {
	for i, key := range c.keys {
		d.add(key, c.first+log.Position(i), c.stored)
	}
	for i, b := range c.events[len(c.keys):] {
		if e, err := decodeEvent(b); err == nil {
			d.add(log.IdentityOf(e), c.first+log.Position(len(c.keys)+i), c.stored)
		}
	}
}

// forget drops what left the window.
func (d *dedupe) forget(now time.Time) {
	limit := now.Add(-d.window)
	for d.begin < len(d.queue) && d.queue[d.begin].stored.Before(limit) {
		// The window may have been shorter before: then the event is in the queue twice, and goes with the second.
		if e := d.queue[d.begin]; d.known[e.key] == e.position {
			delete(d.known, e.key)
		}
		d.begin++
	}
	if d.begin > len(d.queue)/2 {
		d.queue = append(d.queue[:0:0], d.queue[d.begin:]...)
		d.begin = 0
	}
}
