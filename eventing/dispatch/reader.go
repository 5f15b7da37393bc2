package dispatch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"k8s.io/utils/clock"

	"ebb.dev/ebb/eventing/dispatch/position"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// reader delivers to one subscriber. It has goroutines only while something is in flight.
type reader struct {
	d      *Dispatcher
	id     model.ReaderID
	stream *stream

	// replay is that of a reader which delivers again what another has had; nil in all others.
	replay *replay

	// workers are the deliveries under way. None is added once closed is set.
	workers sync.WaitGroup
	keeping keeping

	mu     sync.Mutex
	spec   model.Reader
	ctx    context.Context
	cancel context.CancelFunc
	// begun is set while the dispatcher runs, closed when no delivery begins any more.
	begun, closed bool
	// behind says that the stream's follower does not offer to this reader: it catches up by itself. Otherwise the reader has seen
	// everything up to the stream's head.
	behind bool
	window *position.Window
	// events are those of open positions, as far as they are in memory.
	events map[log.Position]cached
	// bytes is how much of the dispatcher's memory for events is used for them.
	bytes int64
	busy  int
	pace  pace
	turns turns
	// crowded says that the dispatcher looks at the reader for Backlogs.
	crowded bool
	// asideAt is the greatest position of an event stored apart that the window knew.
	asideAt log.Position
	timer   clock.Timer
	// alarm is when the timer fires.
	alarm time.Time
	stats stats
}

// cached is what is known about an open position.
type cached struct {
	// event is the event as it was read; nil if there is no room for it.
	event *event.Event
	// made is the event to send instead, in later stages, until it is stored.
	made   *event.Event
	stored time.Time
	bytes  int64
}

// newReader is a reader that the dispatcher has yet to add. d.mu is held.
func newReader(d *Dispatcher, s *stream, spec model.Reader, w *position.Window) *reader {
	r := &reader{d: d, id: spec.ID, stream: s, spec: spec, window: w, behind: true, turns: turns{width: d.share(spec.ID)}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.stats.first, r.stats.ends.since = w.Scanned(), w.Low()
	for _, it := range w.Items() {
		r.asideAt = max(r.asideAt, it.Ref)
	}
	return r
}

// name is the reader in errors and logs.
func (r *reader) name() string { return fmt.Sprintf("%s %s", r.current().Kind, r.current().Key) }

func (r *reader) current() model.Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spec
}

// begin lets deliveries begin.
func (r *reader) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun = true
	r.pump()
}

// close lets no delivery begin any more; those under way go on.
func (r *reader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}

// retire breaks off deliveries and waits until they have ended.
func (r *reader) retire() {
	r.close()
	r.cancel()
	r.workers.Wait()
}

// revive undoes retire.
func (r *reader) revive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.closed = false
	r.pump()
}

// reordered says whether a change of the reader changes its lanes.
func (r *reader) reordered(spec model.Reader) bool { return r.current().Ordered != spec.Ordered }

// change puts a new description in place of the old one.
func (r *reader) change(spec model.Reader) {
	r.mu.Lock()
	r.spec = spec
	r.pump()
	r.mu.Unlock()
	r.stream.refilter(r.id, spec.Filter)
}

// scanned is the position up to which the reader has seen everything by itself.
func (r *reader) scanned() log.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.window.Scanned()
}

// place says whether the reader is behind a head.
func (r *reader) place(head log.Position) (joined bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.behind = r.window.Scanned() < head || r.replay != nil
	return !r.behind
}

// joins ends that the reader is behind if it has seen everything up to the head.
func (r *reader) joins(head log.Position) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.replay != nil {
		return r.over()
	}
	if r.behind && r.window.Scanned() >= head {
		r.behind = false
	}
	return !r.behind
}

// hungry says whether the reader is behind and has room to go on.
func (r *reader) hungry() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.room()
}

// room waits until half of the window is free, so that a pass is worth its while; but where the rest waits for retries, and nothing is left to
// deliver in the meantime, any room will do. r.mu is held.
func (r *reader) room() bool {
	if !r.behind || r.closed || r.over() {
		return false
	}
	open := r.window.Open()
	return open <= r.size()/2 || (open < r.size() && r.window.Ready(r.d.Clock.Now(), 1) == 0)
}

// passes asks the filter.
func (r *reader) passes(e *event.Event) bool {
	filter := r.current().Filter
	return filter == nil || filter.Pass(e)
}

// offer hands the reader a record of the follower that passed its filter; it has seen everything up to before, and nothing else passed since.
// Without room it is behind from now on, until what is open has ended.
func (r *reader) offer(record log.Record, before log.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.behind {
		return
	}
	r.window.Advance(before)
	if r.window.Open() >= r.size() {
		r.behind = true
		return
	}
	r.admit(record)
}

// take hands the reader a record in a pass; false says that it has no room.
func (r *reader) take(record log.Record, passed bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.finish()
	switch {
	case !r.behind || r.closed || r.beyond(record.Position):
		return false
	case !passed:
		r.window.Advance(record.Position)
	case r.window.Open() >= r.size():
		return false
	default:
		r.admit(record)
	}
	return true
}

// skip says that nothing is stored between where the reader is and a position.
func (r *reader) skip(to log.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.behind {
		r.window.Advance(to)
		r.d.keeper.changed(r)
		r.finish()
	}
}

// admit opens a record's position. r.mu is held.
func (r *reader) admit(record log.Record) {
	name := ""
	if r.spec.Ordered {
		name = lane(record.Event)
	}
	if !r.window.Add(record.Position, name) {
		return
	}
	r.remember(record)
	r.stats.match(r.d.Clock.Now())
	r.d.keeper.changed(r)
	r.pump()
}

// cacheFor is the longest wait through which an event is kept in memory.
const cacheFor = 10 * time.Second

const (
	// eventOverhead is what an event takes besides its data, about.
	eventOverhead = 1024
	// share is the part of the memory for events that one reader may use, one in so many.
	share = 8
)

// remember keeps a record's event while there is room for it. r.mu is held.
func (r *reader) remember(record log.Record) {
	c := cached{stored: record.Stored}
	if size := int64(len(record.Event.Data())) + eventOverhead; r.reserve(size) {
		c.event, c.bytes = record.Event, size
	}
	if r.events == nil {
		r.events = map[log.Position]cached{}
	}
	r.events[record.Position] = c
}

// reserve takes memory for an event if there is some. r.mu is held.
func (r *reader) reserve(size int64) bool {
	if r.bytes+size > r.d.EventBytes/share {
		return false
	}
	if r.d.cached.Add(size) > r.d.EventBytes {
		r.d.cached.Add(-size)
		return false
	}
	r.bytes += size
	return true
}

// free gives memory back. r.mu is held.
func (r *reader) free(size int64) {
	r.d.cached.Add(-size)
	r.bytes -= size
}

// drop ends what is known about a position. r.mu is held.
func (r *reader) drop(p log.Position) {
	r.free(r.events[p].bytes)
	delete(r.events, p)
	if len(r.events) == 0 {
		r.events = nil
	}
}

// empty gives all memory back, when the reader is of no use any more.
func (r *reader) empty() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free(r.bytes)
	r.events = nil
}

// limit is how many deliveries may be under way. r.mu is held.
func (r *reader) limit() int {
	few, _ := r.overlap()
	if r.spec.Ordered {
		return few
	}
	return r.turns.limit(few)
}

// overlap is how many deliveries overlap at first, and at most.
func (r *reader) overlap() (few, most int) {
	if r.spec.Concurrency > 0 {
		return r.spec.Concurrency, r.spec.Concurrency
	}
	return r.d.Concurrency, max(r.d.Concurrency, mostSlots)
}

// load is what is to be delivered, that included which the reader has not looked at yet. r.mu is held.
func (r *reader) load() load {
	now := r.d.Clock.Now()
	has := load{waiting: r.queued()}
	if !r.spec.Ordered {
		has.waiting = r.window.Ready(now, r.d.Window)
	}
	if !r.behind {
		has.arrivals = r.stats.rate.perSecond(now)
	} else if head := log.Position(r.stream.head.Load()); head > r.window.Scanned() {
		has.waiting += int(head - r.window.Scanned())
	}
	return has
}

// halted says whether no delivery may begin.
func (r *reader) halted() bool {
	return !r.begun || r.closed || r.spec.Paused || r.spec.Subscriber.URL == ""
}

// pump starts as many workers as there is work for, and sets the timer for what comes later. r.mu is held.
func (r *reader) pump() {
	if r.halted() {
		return
	}
	now := r.d.Clock.Now()
	if at, free := r.pace.peek(now, r.spec.Rate); !free {
		r.wakeAt(at)
		return
	}
	if r.busy == 0 {
		r.turns.resume(now)
	}
	if begun := r.start(now); !r.spec.Ordered && r.window.Ready(now, begun+1) > begun {
		before := r.limit()
		few, most := r.overlap()
		r.wakeAt(r.turns.crowd(now, r.load, few, most))
		if r.limit() > before {
			r.start(now)
		}
	}
	r.crowd()
	r.arm()
}

// start adds workers as far as there is work and they may overlap. r.mu is held.
func (r *reader) start(now time.Time) (begun int) {
	if free := r.limit() - r.busy; free > 0 {
		begun = r.window.Ready(now, free)
		for range begun {
			r.busy++
			r.workers.Go(r.work)
		}
	}
	return begun
}

// arm sets the timer for the next position that is due. r.mu is held.
func (r *reader) arm() {
	// What is due already is taken by the worker that is free next.
	if at, ok := r.window.Wait(); ok && at.After(r.d.Clock.Now()) {
		r.wakeAt(at)
	}
}

// wakeAt has the reader pumped at a time, if it is not before. r.mu is held.
func (r *reader) wakeAt(at time.Time) {
	if r.timer != nil {
		if !r.alarm.After(at) {
			return
		}
		r.timer.Stop()
	}
	r.alarm = at
	var timer clock.Timer
	// A clock may call back while it is held itself: the work is done elsewhere.
	timer = r.d.Clock.AfterFunc(max(at.Sub(r.d.Clock.Now()), 0), func() { go r.ring(&timer) })
	r.timer = timer
}

// ring is what the timer does.
func (r *reader) ring(timer *clock.Timer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != *timer || r.closed {
		return
	}
	r.timer = nil
	r.pump()
}

// next takes a position to deliver; not ok ends the worker.
func (r *reader) next() (j job, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		if !ok {
			r.busy--
		}
	}()
	if r.halted() || r.busy > r.limit() {
		return job{}, false
	}
	now := r.d.Clock.Now()
	if _, waits := r.window.Wait(); !waits {
		r.turns.drained(now, r.busy == 1)
		return job{}, false
	}
	if at, free := r.pace.take(now, r.spec.Rate); !free {
		r.wakeAt(at)
		return job{}, false
	}
	item, ok := r.window.Next(now)
	if !ok {
		r.pace.giveBack(r.spec.Rate)
		r.turns.drained(now, r.busy == 1)
		r.arm()
		return job{}, false
	}
	known := r.events[item.Position]
	return job{item: item, spec: r.spec, event: known.event, made: known.made, ctx: r.ctx}, true
}

// settle says what became of a position that was taken.
func (r *reader) settle(e ending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := e.item.Position
	if e.done {
		r.window.Done(p)
		r.drop(p)
		r.finish()
	} else {
		r.window.Again(e.item)
		r.asideAt = max(r.asideAt, e.item.Ref)
		if c, has := r.events[p]; has || e.made != nil {
			c.made = e.made
			if e.item.Due.After(r.d.Clock.Now().Add(cacheFor)) {
				r.free(c.bytes)
				c.event, c.bytes = nil, 0
			}
			if r.events == nil {
				r.events = map[log.Position]cached{}
			}
			r.events[p] = c
		}
	}
	r.d.keeper.changed(r)
	r.pump()
	if r.room() {
		r.stream.wake()
	}
}

// pace spaces deliveries out. The zero value has never delivered.
type pace struct {
	// next is when the next delivery would begin if all were spaced evenly.
	next time.Time
}

// burst is how far deliveries may run ahead of even spacing, so that a coarse timer does not lower the rate.
const burst = 20 * time.Millisecond

// peek says whether a delivery may begin at a rate, per second, and if not, when.
func (p *pace) peek(now time.Time, rate float64) (at time.Time, free bool) {
	if rate <= 0 || p.next.Sub(now) <= burst {
		return now, true
	}
	return p.next.Add(-burst), false
}

// take is peek for a delivery that begins if it may.
func (p *pace) take(now time.Time, rate float64) (at time.Time, free bool) {
	at, free = p.peek(now, rate)
	if free && rate > 0 {
		if p.next.Before(now) {
			p.next = now
		}
		p.next = p.next.Add(spacing(rate))
	}
	return at, free
}

// giveBack undoes a take that nothing came of.
func (p *pace) giveBack(rate float64) {
	if rate > 0 {
		p.next = p.next.Add(-spacing(rate))
	}
}

func spacing(rate float64) time.Duration { return time.Duration(float64(time.Second) / rate) }
