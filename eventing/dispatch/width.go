package dispatch

import (
	"math"
	"sync"
	"time"
)

const (
	// coldFor is how long the first answers are waited for before deliveries are widened without: a subscriber that was at zero has most likely
	// started by then, and what waits for it is known as a backlog all the while.
	coldFor = 2 * time.Second
	// swift deliveries are those that a subscriber gets done with as fast as it is asked: more at once may be of no use to it.
	swift = headStart
	// helps is by how much more has to be delivered with twice as many at once.
	helps = 1.25
	// tryAgain is how long after more at once did not help they are tried again.
	tryAgain = time.Second
)

// width is how many deliveries of a reader overlap, as one number for all readers of one Trigger: a stream of several partitions has one for
// each, and they share their subscriber. If each chose for itself, each would gain by taking from the others.
//
// It is doubled until deliveries keep up (turns.wants). Where deliveries are swift that is a guess, as the shortest is all that tells how long one
// takes, and that grows with what is under way: so it is undone unless more was delivered, by hill climbing (Heiss and Wagner, "Adaptive Load
// Control in Transaction Processing Systems", 1991). The zero value is as wide as deliveries are at first.
type width struct {
	// readers are those that share it; the dispatcher counts them.
	readers int

	mu    sync.Mutex
	slots int
	// began is when the slots were those at first, changed when they became what they are, used when a reader last asked for more.
	began, changed, used time.Time
	// done are the deliveries since changed.
	done int
	// before is what there was when the slots were widened and it is not known yet whether that helped; no slots if there is nothing to tell.
	before struct {
		slots     int
		perSecond float64
	}
	// enough is until when the slots are not widened.
	enough time.Time
	base   shortest
}

// at is how many overlap.
func (w *width) at() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.slots
}

// begin is to be called when deliveries of a reader begin to overlap. Whatever was found out is forgotten if none has for some time.
func (w *width) begin(now time.Time, few int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.slots == 0 || now.Sub(w.used) >= quiet {
		w.set(now, few)
		w.began, w.enough = now, time.Time{}
	}
	w.used = now
}

// set is to be called with w.mu held.
func (w *width) set(now time.Time, slots int) {
	w.slots, w.changed, w.done, w.before.slots = slots, now, 0, 0
}

// widen is to be called while events wait that are to be delivered by so many a second. It returns when to call it again.
func (w *width) widen(now time.Time, perSecond float64, most int) (again time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used = now
	if soon := w.changed.Add(headStart); soon.After(now) {
		return soon
	}
	each, known := w.base.at(now)
	wants := min(slotsFor(perSecond, each, known), most)
	switch {
	case !known && now.Sub(w.began) < coldFor:
	case !known || each >= swift:
		if wider := min(2*w.slots, wants); wider > w.slots {
			w.set(now, wider)
		}
	default:
		w.climb(now, wants)
	}
	return now.Add(headStart)
}

// climb widens for a trial, or ends one. w.mu is held.
func (w *width) climb(now time.Time, wants int) {
	if w.done < w.slots {
		return // too few to tell how many there are in a second
	}
	delivered := float64(w.done) / now.Sub(w.changed).Seconds()
	if before := w.before; before.slots > 0 {
		w.before.slots = 0
		if delivered < helps*before.perSecond {
			w.set(now, before.slots)
			w.enough = now.Add(tryAgain)
			return
		}
	}
	switch wider := min(2*w.slots, wants); {
	case wider <= w.slots:
		w.set(now, w.slots)
	case !now.Before(w.enough):
		from := w.slots
		w.set(now, wider)
		w.before.slots, w.before.perSecond = from, delivered
	}
}

// delivered takes how long a delivery took.
func (w *width) delivered(now time.Time, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done++
	w.base.add(now, took)
}

// refused says that the subscriber has too much; what overlaps at first it gets in any case.
func (w *width) refused(now time.Time, few int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.slots <= few || now.Sub(w.changed) < headStart {
		return
	}
	w.set(now, max(w.slots/2, few))
}

// each is how long the subscriber takes for a delivery, as far as that is known.
func (w *width) each(now time.Time) (each time.Duration, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.base.at(now)
}

// slotsFor is how many deliveries have to overlap for so many a second, by Little's law; before the first answer, one for each.
func slotsFor(perSecond float64, each time.Duration, known bool) int {
	if !known {
		each = drainIn
	}
	return int(math.Ceil(perSecond * each.Seconds()))
}

// shortest is the least of the durations of the last 10 to 20 seconds.
type shortest struct {
	now, before time.Duration
	since       time.Time
}

func (s *shortest) add(now time.Time, d time.Duration) {
	s.turn(now)
	if s.now == 0 || d < s.now {
		s.now = max(d, 1)
	}
}

func (s *shortest) at(now time.Time) (d time.Duration, known bool) {
	s.turn(now)
	switch {
	case s.now == 0 || s.before != 0 && s.before < s.now:
		return s.before, s.before != 0
	default:
		return s.now, true
	}
}

func (s *shortest) turn(now time.Time) {
	switch age := now.Sub(s.since); {
	case age >= 2*baseFor:
		*s = shortest{since: now}
	case age >= baseFor:
		*s = shortest{before: s.now, since: now}
	}
}
