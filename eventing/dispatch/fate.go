package dispatch

import (
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/dispatch/position"
	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// State is where an event is on its way to one reader.
type State string

// The states.
const (
	// Before: the reader began after it was stored.
	Before State = "before"
	// Unreached: the reader has not come so far.
	Unreached State = "not reached"
	// Filtered: it does not pass the filter that the reader has now.
	Filtered State = "filtered"
	// Waiting: to be delivered, or tried again.
	Waiting State = "waiting"
	// Delivering: an attempt is under way.
	Delivering State = "delivering"
	// Replying: delivered; its reply is to be sent on.
	Replying State = "replying"
	// Dying: given up; it is on its way to the dead letter sink or to the reader's list.
	Dying State = "dying"
	// Taken: the subscriber took it.
	Taken State = "delivered"
	// Dead: given up.
	Dead State = "dead"
	// Lost: the log did not have it any more when its turn came.
	Lost State = "lost"
	// Done: taken or dead-lettered, and it is not known any more which.
	Done State = "done"
)

// Where what was given up went.
const (
	ToSink  = "sink"
	ToList  = "list"
	Nowhere = ""
)

// Fate is what has become of an event at one reader.
type Fate struct {
	State State
	// Failed is how many attempts of the stage that the event is in have failed.
	Failed int
	// Next is when the next attempt may begin; zero is at once.
	Next time.Time
	// At is when it was given up; To is ToSink or ToList. Code and Reason say why, as dead letters do.
	At     time.Time
	To     string
	Code   int
	Reason string
}

// ended is a position that ended otherwise than by being taken.
type ended struct {
	position log.Position
	fate     Fate
}

// endsKept is how many such positions a reader remembers, for those who ask.
const endsKept = 128

// ends are the last positions that ended otherwise than by being taken.
type ends struct {
	last []ended
	// at is where the next one goes once last is full.
	at int
	// since is the position up to which ends are not all known.
	since log.Position
}

// end counts a position that is done with and was not taken. dead is what was given up, nil for one that the log had lost.
func (s *stats) end(p log.Position, dead *event.Event, to string, now time.Time) {
	fate := Fate{State: Dead, At: now, To: to}
	switch to {
	case ToSink:
		s.deadSink++
		s.deadAt = now
	case ToList:
		s.deadKept++
		s.deadAt = now
	default:
		s.lost++
		fate.State = Lost
	}
	if dead != nil {
		code, _ := extension.Integer(dead, extension.ErrorCode)
		fate.Code = int(code)
		fate.Reason, _ = dead.Extensions()[extension.ErrorData].(string)
	}
	s.ends.add(ended{p, fate})
}

func (e *ends) add(one ended) {
	if len(e.last) < endsKept {
		e.last = append(e.last, one)
		return
	}
	e.since = max(e.since, e.last[e.at].position)
	e.last[e.at] = one
	e.at = (e.at + 1) % endsKept
}

// of is how a position ended; known is false if it may have ended in a way that is forgotten.
func (e *ends) of(p log.Position) (fate Fate, known bool) {
	for _, one := range e.last {
		if one.position == p {
			return one.fate, true
		}
	}
	return Fate{State: Taken}, p > e.since
}

// Fate says what has become of a record of a reader's stream. ok is false if there is no such reader.
func (d *Dispatcher) Fate(id model.ReaderID, record log.Record) (f Fate, ok bool) {
	r := d.reader(id)
	if r == nil {
		return Fate{}, false
	}
	passes := r.passes(record.Event)
	r.mu.Lock()
	defer r.mu.Unlock()
	if it, inFlight, open := r.window.Find(record.Position); open {
		return underWay(it, inFlight), true
	}
	reached := r.window.Scanned()
	if !r.behind {
		reached = max(reached, log.Position(r.stream.head.Load()))
	}
	switch {
	case record.Position <= r.window.Began():
		return Fate{State: Before}, true
	case record.Position > reached:
		return Fate{State: Unreached}, true
	}
	f, known := r.stats.ends.of(record.Position)
	switch {
	case f.State != Taken:
	case !passes:
		f.State = Filtered
	case !known:
		f.State = Done
	}
	return f, true
}

func underWay(it position.Item, inFlight bool) Fate {
	f := Fate{Failed: it.Failed, Next: it.Due}
	switch {
	case it.Stage == position.Reply:
		f.State = Replying
	case it.Stage != position.Subscriber:
		f.State = Dying
	case inFlight:
		f.State = Delivering
	default:
		f.State = Waiting
	}
	return f
}
