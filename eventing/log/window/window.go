package window

import (
	"time"

	"ebb.dev/ebb/eventing/log"
)

// perChunk is how many events are remembered in one piece: nothing that is remembered is copied when more comes, and what left the window
// is given back soon.
const perChunk = 256

// Events are those of a span of time. They are not for use by several goroutines at once.
type Events struct {
	span  time.Duration
	known map[log.Identity]log.Position
	// chunks have what is known in the order of its times, so that forgetting takes no search; begin is where the first one begins.
	chunks []*chunk
	begin  int
}

type chunk struct {
	count   int
	entries [perChunk]entry
}

type entry struct {
	key      log.Identity
	position log.Position
	// stored is in nanoseconds since 1970.
	stored int64
}

// New makes a window that knows nothing. One without a span never does.
func New(span time.Duration) *Events {
	w := &Events{}
	w.Resize(span)
	return w
}

// Span is how long an event is known.
func (w *Events) Span() time.Duration { return w.span }

// Resize changes the span. What has been forgotten does not come back with a longer one.
func (w *Events) Resize(span time.Duration) {
	w.span = max(span, 0)
	if w.known == nil || w.span == 0 {
		w.known, w.chunks, w.begin = map[log.Identity]log.Position{}, nil, 0
	}
}

// Find returns the position of an event that was stored within the span before now.
func (w *Events) Find(key log.Identity, now time.Time) (log.Position, bool) {
	w.forget(now)
	p, ok := w.known[key]
	return p, ok
}

// Has reports whether an event is known, whatever the time.
func (w *Events) Has(key log.Identity) bool {
	_, ok := w.known[key]
	return ok
}

// Add remembers an event.
func (w *Events) Add(key log.Identity, p log.Position, stored time.Time) {
	if w.span == 0 {
		return
	}
	w.known[key] = p
	last := len(w.chunks) - 1
	if last < 0 || w.chunks[last].count == perChunk {
		w.chunks = append(w.chunks, &chunk{})
		last++
	}
	c := w.chunks[last]
	c.entries[c.count] = entry{key: key, position: p, stored: stored.UnixNano()}
	c.count++
}

// forget drops what left the window.
func (w *Events) forget(now time.Time) {
	limit := now.Add(-w.span).UnixNano()
	for len(w.chunks) > 0 {
		c := w.chunks[0]
		for ; w.begin < c.count && c.entries[w.begin].stored < limit; w.begin++ {
			// An event that was stored again, when the window had been shorter, is there twice and goes with the second.
			if e := &c.entries[w.begin]; w.known[e.key] == e.position {
				delete(w.known, e.key)
			}
		}
		if w.begin < perChunk {
			return
		}
		w.chunks[0] = nil
		w.chunks, w.begin = w.chunks[1:], 0
	}
}
