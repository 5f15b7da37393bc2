package position

import (
	"container/heap"
	"time"

	"ebb.dev/ebb/eventing/log"
)

// Stage is how far an event has come.
type Stage uint8

// The stages. An event begins with its subscriber; the others are reached by what comes of that.
const (
	// Subscriber: to be delivered.
	Subscriber Stage = iota
	// Reply: delivered, and its reply is to be sent on.
	Reply
	// DeadLetter: given up, and to be sent to the dead letter sink.
	DeadLetter
	// Shelf: given up, and to be put on the list of dead events.
	Shelf
	stages
)

// Item is one open position.
type Item struct {
	Position log.Position
	Stage    Stage
	// Failed counts the attempts of this stage that failed.
	Failed int
	// Due is when the next attempt may begin; zero is at once.
	Due time.Time
	// Ref is where the event to send is kept apart from its stream, for stages that send another one than was read; zero is nowhere.
	Ref log.Position
}

type status uint8

const (
	waiting status = iota
	ready
	due
	flying
)

// entry is an open position in its places: the list of all that are open, its lane, and the heap of those that wait for their time.
type entry struct {
	Item
	prev, next *entry
	lane       string
	follower   *entry
	status     status
}

// Window is a reader's place. It is not safe for concurrent use.
type Window struct {
	ordered bool
	// began is the position after which the reader began; zero if it began with the first, or nobody knows.
	began, scanned log.Position
	open           map[log.Position]*entry
	// first and last are the ends of the list of open entries, in the order of their positions.
	first, last *entry
	// lanes hold the last entry of each lane of an ordered window.
	lanes map[string]*entry
	// fresh are ready at once, in order; later are those with a time.
	fresh  queue
	later  schedule
	flying int
}

// New is a window that needs nothing up to a position. An ordered window hands out one position of a lane at a time.
func New(scanned log.Position, ordered bool) *Window {
	return &Window{began: scanned, scanned: scanned, ordered: ordered}
}

// Began is the position after which the reader began; zero if it began with the first, or nobody knows.
func (w *Window) Began() log.Position { return w.began }

// Find is an open position as it stands, and whether it is handed out.
func (w *Window) Find(p log.Position) (it Item, inFlight, open bool) {
	e := w.open[p]
	if e == nil {
		return Item{}, false, false
	}
	return e.Item, e.status == flying, true
}

// Scanned is the position up to which everything was looked at.
func (w *Window) Scanned() log.Position { return w.scanned }

// Low is the position up to which nothing is needed any more.
func (w *Window) Low() log.Position {
	if w.first == nil {
		return w.scanned
	}
	return w.first.Position - 1
}

// Open is how many positions are not done, those in flight included.
func (w *Window) Open() int { return len(w.open) }

// InFlight is how many positions are handed out.
func (w *Window) InFlight() int { return w.flying }

// Advance says that nothing up to a position concerns the reader but what was added.
func (w *Window) Advance(to log.Position) { w.scanned = max(w.scanned, to) }

// Add opens a position past Scanned; others are ignored, as they were looked at. The lane counts in ordered windows only.
func (w *Window) Add(p log.Position, lane string) bool {
	if p <= w.scanned {
		return false
	}
	w.scanned = p
	w.insert(Item{Position: p}, lane)
	return true
}

// insert appends an item whose position is greater than those of all that are open.
func (w *Window) insert(it Item, lane string) {
	if w.open == nil {
		w.open = map[log.Position]*entry{}
	}
	e := &entry{Item: it, lane: lane, prev: w.last}
	w.open[it.Position] = e
	if w.last == nil {
		w.first = e
	} else {
		w.last.next = e
	}
	w.last = e
	if w.ordered {
		if w.lanes == nil {
			w.lanes = map[string]*entry{}
		}
		before := w.lanes[lane]
		w.lanes[lane] = e
		if before != nil {
			before.follower = e
			return
		}
	}
	w.offer(e)
}

// offer puts an entry whose turn has come where Next finds it.
func (w *Window) offer(e *entry) {
	if e.Due.IsZero() {
		e.status = ready
		w.fresh.push(e)
		return
	}
	e.status = due
	heap.Push(&w.later, e)
}

// Next hands out a position: what is due first, as it has waited longest, then what is new.
func (w *Window) Next(now time.Time) (Item, bool) {
	var e *entry
	switch {
	case len(w.later) > 0 && !w.later[0].Due.After(now):
		e = heap.Pop(&w.later).(*entry)
	default:
		if e = w.fresh.pop(); e == nil {
			return Item{}, false
		}
	}
	e.status = flying
	w.flying++
	return e.Item, true
}

// Wait says when Next has something: at once if ok and the time is zero, never as things are if not ok.
func (w *Window) Wait() (at time.Time, ok bool) {
	if w.fresh.len() > 0 {
		return time.Time{}, true
	}
	if len(w.later) > 0 {
		return w.later[0].Due, true
	}
	return time.Time{}, false
}

// Ready is how many positions Next would hand out now, at most limit.
func (w *Window) Ready(now time.Time, limit int) int {
	n := w.fresh.len()
	if n >= limit || len(w.later) == 0 || w.later[0].Due.After(now) {
		return min(n, limit)
	}
	for _, e := range w.later {
		if n == limit {
			break
		}
		if !e.Due.After(now) {
			n++
		}
	}
	return n
}

// Done closes a position that was handed out.
func (w *Window) Done(p log.Position) {
	e := w.land(p)
	if e == nil {
		return
	}
	delete(w.open, p)
	if e.prev == nil {
		w.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		w.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	if len(w.open) == 0 {
		w.open = nil
	}
	w.release(e)
}

// release gives the turn of an entry's lane to the one behind it.
func (w *Window) release(e *entry) {
	if !w.ordered {
		return
	}
	if e.follower != nil {
		w.offer(e.follower)
		return
	}
	delete(w.lanes, e.lane)
	if len(w.lanes) == 0 {
		w.lanes = nil
	}
}

// Again takes a position back that was handed out, as it stands now: its stage, its failed attempts and when it is due. With the item as it
// was handed out, it is as if it had not been.
func (w *Window) Again(it Item) {
	e := w.land(it.Position)
	if e == nil {
		return
	}
	e.Item = it
	if it.Due.IsZero() {
		e.status = ready
		w.fresh.unshift(e)
		return
	}
	w.offer(e)
}

// land is the entry of a position that is handed out, and is not any more.
func (w *Window) land(p log.Position) *entry {
	e := w.open[p]
	if e == nil || e.status != flying {
		return nil
	}
	e.status = waiting
	w.flying--
	return e
}

// Items are all open positions in order, as they stand.
func (w *Window) Items() []Item {
	items := make([]Item, 0, len(w.open))
	for e := w.first; e != nil; e = e.next {
		items = append(items, e.Item)
	}
	return items
}

// LowRef is the least Ref of an open position; zero if there is none.
func (w *Window) LowRef() log.Position {
	var low log.Position
	for e := w.first; e != nil; e = e.next {
		if e.Ref != 0 && (low == 0 || e.Ref < low) {
			low = e.Ref
		}
	}
	return low
}

// State is what Encode kept.
type State struct {
	// Began is what Window.Began says.
	Began, Scanned log.Position
	// Items are in the order of their positions.
	Items []Item
}

// Restore is a window as a state describes it, nothing in flight. lane names an open position's lane, and may be nil unless ordered.
func Restore(s State, ordered bool, lane func(log.Position) string) *Window {
	w := New(s.Scanned, ordered)
	w.began = s.Began
	for _, it := range s.Items {
		name := ""
		if lane != nil {
			name = lane(it.Position)
		}
		w.insert(it, name)
	}
	return w
}

// Snapshot is the window's state, what is in flight as if it were not.
func (w *Window) Snapshot() State { return State{Began: w.began, Scanned: w.scanned, Items: w.Items()} }
