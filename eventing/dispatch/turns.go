package dispatch

import "time"

const (
	// headStart is how long events wait for the delivery before them, until deliveries overlap; and from then on, until there are more of them.
	headStart = 100 * time.Millisecond
	// quiet is how long a reader has had nothing to deliver when it takes turns again.
	quiet = time.Second
	// drainIn is the time in which what waits should be delivered.
	drainIn = time.Second
	// mostSlots is how many deliveries of a reader overlap that names no number.
	mostSlots = 256
	// baseFor is how long the shortest delivery counts as how long the subscriber takes for one.
	baseFor = 10 * time.Second
)

// turns says how many deliveries of an unordered reader overlap.
//
// While the subscriber keeps pace it is one: events do not overtake each other. Order is not promised by it; a subscriber that sees one event
// after the other without having asked for that is what it is for. Once events have been waiting for some time deliveries overlap, and there
// are more of them as long as that does not help, until they keep up with what comes and it would take drainIn to deliver what waits: by Little's
// law that many a second times how long the subscriber takes for one. So a backlog becomes requests, at the gateway or at the replicas' proxies,
// which the autoscaler scales by. A subscriber that says it has too much gets half. A pause begins anew. The zero value, with a width, takes turns.
type turns struct {
	*width
	overlap bool
	// most is the greatest number of deliveries a second that was wanted since deliveries overlap: as what waits gets less they stay as wide, or
	// the last events would take as long as all before.
	most float64
	// waiting is since when there has always been an event behind those under way; zero if there is none.
	waiting time.Time
	// asked is when more were last asked for.
	asked time.Time
	// idle is since when there was nothing to deliver; zero before the first time.
	idle time.Time
}

// resume is to be called before a delivery begins while none is under way.
func (t *turns) resume(now time.Time) {
	t.waiting = time.Time{}
	if t.overlap && !t.idle.IsZero() && now.Sub(t.idle) >= quiet {
		t.overlap, t.most = false, 0
	}
	t.idle = time.Time{}
}

// load is what a reader has to deliver.
type load struct {
	// waiting is how many events are to be delivered now.
	waiting int
	// arrivals are how many more come in a second; 0 where the reader is behind, as it takes them as fast as they are delivered.
	arrivals float64
}

// perSecond is how many deliveries a second it takes to keep up with what comes and to get done with what waits in time.
func (l load) perSecond() float64 { return l.arrivals + float64(l.waiting)/drainIn.Seconds() }

// crowd says that events wait behind those under way, and returns when to say so again if some still do then. few is how many deliveries
// overlap at first, and most how many at most.
func (t *turns) crowd(now time.Time, has func() load, few, most int) (again time.Time) {
	if t.waiting.IsZero() {
		t.waiting = now
	}
	since := t.waiting
	if t.asked.After(since) {
		since = t.asked
	}
	if again = since.Add(headStart); again.After(now) {
		return again
	}
	t.asked = now
	if !t.overlap {
		t.overlap = true
		t.begin(now, few)
		return now.Add(headStart)
	}
	t.most = max(t.most, has().perSecond())
	return t.widen(now, t.most, most)
}

// limit is how many deliveries overlap now.
func (t *turns) limit(few int) int {
	if !t.overlap {
		return 1
	}
	return max(t.at(), few)
}

// target is how many deliveries overlap in the end if the load stays as it is and the subscriber takes them.
func (t *turns) target(now time.Time, has load, few, most int) int {
	if !t.overlap {
		return 1
	}
	each, known := t.each(now)
	return max(t.at(), min(max(few, slotsFor(has.perSecond(), each, known)), most))
}

// perSecond is how many deliveries a second so many at once make, and no more than are needed.
func (t *turns) perSecond(now time.Time, atOnce int, needed float64) float64 {
	each, known := t.each(now)
	if !known {
		each = drainIn
	}
	return min(needed, float64(atOnce)/each.Seconds())
}

// drained says that nothing waits behind what is under way; idle that nothing is under way either.
func (t *turns) drained(now time.Time, idle bool) {
	t.waiting = time.Time{}
	if idle {
		t.idle = now
	}
}
