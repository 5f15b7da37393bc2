package jetstream

import (
	"encoding/binary"
	"hash/maphash"
	"time"

	"ebb.dev/ebb/eventing/log"
)

// identityKey stands for a source and id. Its seeds are this process's own, so that nobody can make two events collide.
type identityKey [2]uint64

var identitySeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func keyOf(id, source []byte) identityKey {
	var key identityKey
	for i, seed := range identitySeeds {
		var h maphash.Hash
		h.SetSeed(seed)
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(id))))
		_, _ = h.Write(id)
		_, _ = h.Write(source)
		key[i] = h.Sum64()
	}
	return key
}

// dedupe remembers the events of a window of time. It is not for use by several goroutines at once.
type dedupe struct {
	window time.Duration
	known  map[identityKey]log.Position
	// queue has the keys in the order of their times, so that forgetting takes no search.
	queue []dedupeEntry
	begin int
}

type dedupeEntry struct {
	key      identityKey
	position log.Position
	stored   time.Time
}

func newDedupe(window time.Duration) *dedupe {
	return &dedupe{window: window, known: make(map[identityKey]log.Position)}
}

// find returns the position of an event that was stored within the window.
func (d *dedupe) find(key identityKey, now time.Time) (log.Position, bool) {
	d.forget(now)
	p, ok := d.known[key]
	return p, ok
}

func (d *dedupe) add(key identityKey, p log.Position, stored time.Time) {
	d.known[key] = p
	d.queue = append(d.queue, dedupeEntry{key: key, position: p, stored: stored})
}

// addCommit remembers what was stored, by this process or another.
func (d *dedupe) addCommit(c *commit) {
	for i, key := range c.keys {
		d.add(key, c.first+log.Position(i), c.stored)
	}
	for i, b := range c.events[len(c.keys):] {
		if id, source, err := identity(b); err == nil {
			d.add(keyOf(id, source), c.first+log.Position(len(c.keys)+i), c.stored)
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
