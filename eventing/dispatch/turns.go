package dispatch

import "time"

const (
	// headStart is how long events wait for the delivery before them, until deliveries overlap.
	headStart = 100 * time.Millisecond
	// quiet is how long a reader has had nothing to deliver when it takes turns again.
	quiet = time.Second
)

// turns keeps the deliveries of an unordered reader from overtaking each other while its subscriber keeps pace: they overlap only once
// events have been waiting for some time, and from then on until a pause. Order is not promised by it; a subscriber that sees one event after
// the other without having asked for that is what it is for. The zero value takes turns.
type turns struct {
	overlap bool
	// waiting is since when there has always been an event behind the delivery under way; zero if there is none.
	waiting time.Time
	// idle is since when there was nothing to deliver; zero before the first time.
	idle time.Time
}

// resume is to be called before a delivery begins while none is under way.
func (t *turns) resume(now time.Time) {
	t.waiting = time.Time{}
	if t.overlap && !t.idle.IsZero() && now.Sub(t.idle) >= quiet {
		t.overlap = false
	}
	t.idle = time.Time{}
}

// crowd says that an event waits behind a delivery under way. If deliveries do not overlap now they will at a time, unless nothing waits
// by then.
func (t *turns) crowd(now time.Time) (at time.Time, overlap bool) {
	if t.waiting.IsZero() {
		t.waiting = now
	}
	if at = t.waiting.Add(headStart); !at.After(now) {
		t.overlap = true
	}
	return at, t.overlap
}

// drained says that nothing waits behind what is under way; idle that nothing is under way either.
func (t *turns) drained(now time.Time, idle bool) {
	t.waiting = time.Time{}
	if idle {
		t.idle = now
	}
}
