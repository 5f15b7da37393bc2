package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ebb.dev/ebb/eventing/dispatch/position"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// The reasons why nothing is delivered again.
var (
	// ErrNoReader: no such reader is delivered to.
	ErrNoReader = errors.New("there is no such reader")
	// ErrReplaying: one replay of the reader is under way, and it has one at a time.
	ErrReplaying = errors.New("it is being replayed already")
	// ErrHalted: the reader is paused or has no subscriber.
	ErrHalted = errors.New("it is paused, or has no subscriber")
	// ErrInterrupted: the reader or the dispatcher ended first.
	ErrInterrupted = errors.New("the replay was ended before its range was")
)

// Replayed is how far a replay has come.
type Replayed struct {
	// From and To are its range, both included, as far as it is kept; there is nothing in it if From is after To.
	From, To log.Position
	// Asked is where the range began before what is not kept was left out.
	Asked log.Position
	// Next is where to go on from: everything before it is done with.
	Next log.Position
	// Matched passed the reader's filter.
	Matched uint64
	// Delivered were taken by the subscriber; Dead were given up: they went to the sink, or to the reader's list (DeadKept of them).
	Delivered, Retried, Dead, DeadKept uint64
	// Lost were not kept any more when their turn came. Those among them that had not been looked at may not have passed the filter.
	Lost uint64
}

// replay makes a reader one that delivers again what another has had, up to a position. It leaves nothing in the log but dead events: its place
// is not kept, so that it does not hold up what the stream may drop and there is nothing to clear away after a crash.
type replay struct {
	of    model.ReaderID
	until log.Position
	// skipped were dropped before they were looked at. The reader's lock is held for it.
	skipped uint64
	once    sync.Once
	// done is closed when everything up to until is done with, gone when the reader ended that it is for.
	done, gone chan struct{}
}

// replayWindow bounds what a replay has open: what it is to send in later stages is in memory only.
const replayWindow = 256

// Replay delivers what a reader's stream has in a range, both ends included, to the reader's subscriber again, as far as it passes the filter,
// by the same rules and beside what the reader has to deliver itself, whose position does not move. It returns when everything is delivered or
// given up; the context ends it early. progress is called now and then, and may be nil. What became of it so far is returned with errors too.
func (d *Dispatcher) Replay(ctx context.Context, id model.ReaderID, from, to log.Position, every time.Duration, progress func(Replayed)) (Replayed, error) {
	original := d.reader(id)
	if original == nil {
		return Replayed{}, fmt.Errorf("reader %s: %w", id, ErrNoReader)
	}
	out, err := d.within(ctx, original, from, to)
	if err != nil || out.From > out.To {
		return out, err
	}
	r, running, err := d.beginReplay(original, out)
	if err != nil {
		return out, fmt.Errorf("%s: %w", original.name(), err)
	}
	defer d.replaying.Done()
	err = d.watch(ctx, running, r, every, func() {
		if progress != nil {
			progress(r.replayed(out))
		}
	})
	d.endReplay(r)
	out = r.replayed(out)
	if now := d.reader(id); now != nil {
		now.count(func(s *stats) { s.replayed += out.Delivered })
	}
	if err != nil {
		return out, fmt.Errorf("%s: %w", original.name(), err)
	}
	return out, nil
}

// Preview calls f with every record that a replay of a range would deliver.
func (d *Dispatcher) Preview(ctx context.Context, id model.ReaderID, from, to log.Position, f func(log.Record) error) (Replayed, error) {
	r := d.reader(id)
	if r == nil {
		return Replayed{}, fmt.Errorf("reader %s: %w", id, ErrNoReader)
	}
	out, err := d.within(ctx, r, from, to)
	if err != nil || out.From > out.To {
		return out, err
	}
	err = log.Scan(ctx, d.Log, r.stream.id, out.From, out.To, func(record log.Record) error {
		out.Next = record.Position + 1
		if !r.passes(record.Event) {
			return nil
		}
		out.Matched++
		return f(record)
	})
	if err != nil {
		return out, fmt.Errorf("%s: read its stream: %w", r.name(), err)
	}
	out.Next = out.To + 1
	return out, nil
}

// within cuts a range to what the stream keeps.
func (d *Dispatcher) within(ctx context.Context, r *reader, from, to log.Position) (Replayed, error) {
	from = max(from, 1)
	oldest, _, err := d.Log.Bounds(ctx, r.stream.id)
	if err != nil {
		return Replayed{}, fmt.Errorf("%s: read the bounds of its stream: %w", r.name(), err)
	}
	last, err := log.Last(ctx, d.Log, r.stream.id, to)
	if err != nil {
		return Replayed{}, fmt.Errorf("%s: %w", r.name(), err)
	}
	out := Replayed{Asked: from, From: max(from, oldest), To: last}
	out.Next = out.From
	return out, nil
}

// beginReplay adds a reader for a range beside the one that it is for.
func (d *Dispatcher) beginReplay(original *reader, of Replayed) (r *reader, running context.Context, err error) {
	d.change.Lock()
	defer d.change.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	spec := original.current()
	switch {
	case d.run == nil || d.readers[original.id] != original:
		return nil, nil, ErrInterrupted
	case d.replays[original.id] != nil:
		return nil, nil, ErrReplaying
	case spec.Paused || spec.Subscriber.URL == "":
		return nil, nil, ErrHalted
	}
	spec.ID = "replay/" + spec.ID
	r = newReader(d, original.stream, spec, position.New(of.From-1, spec.Ordered))
	r.replay = &replay{of: original.id, until: of.To, done: make(chan struct{}), gone: make(chan struct{})}
	r.keeping.gone = true
	d.replays[original.id] = r
	d.replaying.Add(1)
	original.stream.attach(r)
	r.begin()
	return r, d.run, nil
}

// watch waits until a replay is over.
func (d *Dispatcher) watch(ctx, running context.Context, r *reader, every time.Duration, tick func()) error {
	for {
		due := make(chan struct{})
		timer := d.Clock.AfterFunc(every, func() { close(due) })
		select {
		case <-r.replay.done:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-running.Done():
			timer.Stop()
			return fmt.Errorf("%w: the broker stops", ErrInterrupted)
		case <-r.replay.gone:
			timer.Stop()
			return fmt.Errorf("%w: the reader was removed", ErrInterrupted)
		case <-due:
			tick()
		}
	}
}

// endReplay takes a replay away; what is in flight is broken off.
func (d *Dispatcher) endReplay(r *reader) {
	r.retire()
	d.change.Lock()
	defer d.change.Unlock()
	d.mu.Lock()
	if d.replays[r.replay.of] == r {
		delete(d.replays, r.replay.of)
	}
	d.mu.Unlock()
	d.detach(r)
}

// replayOf is the replay of a reader that is under way; nil if there is none.
func (d *Dispatcher) replayOf(id model.ReaderID) *reader {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.replays[id]
}

// changeReplay has the replay of a reader go on as the reader does now. Its lanes stay as they were made.
func (d *Dispatcher) changeReplay(spec model.Reader) {
	r := d.replayOf(spec.ID)
	if r == nil {
		return
	}
	now := r.current()
	spec.ID, spec.Ordered = now.ID, now.Ordered
	r.change(spec)
}

// dropReplay ends the replay of a reader that ends, and waits until it delivers nothing more.
func (d *Dispatcher) dropReplay(id model.ReaderID) {
	if r := d.replayOf(id); r != nil {
		r.retire()
		close(r.replay.gone)
		d.mu.Lock()
		delete(d.replays, id)
		d.mu.Unlock()
	}
}

// shelf is the list that the reader's dead events go to: a replay's are those of the reader it is for.
func (r *reader) shelf() model.StreamID {
	if r.replay != nil {
		return DeadStream(r.replay.of)
	}
	return DeadStream(r.id)
}

// size is how many positions the reader may have open.
func (r *reader) size() int {
	if r.replay != nil {
		return min(replayWindow, r.d.Window)
	}
	return r.d.Window
}

// over says whether a replay has looked at everything. r.mu is held.
func (r *reader) over() bool { return r.replay != nil && r.window.Scanned() >= r.replay.until }

// beyond says whether a position is past the range of a replay, which has then looked at everything. r.mu is held.
func (r *reader) beyond(p log.Position) bool {
	if r.replay == nil || p <= r.replay.until {
		return false
	}
	r.window.Advance(r.replay.until)
	return true
}

// finish tells that a replay is done with everything, if it is. r.mu is held.
func (r *reader) finish() {
	if r.over() && r.window.Open() == 0 {
		r.replay.once.Do(func() { close(r.replay.done) })
	}
}

// missed says that a stream keeps nothing before a position any more.
func (r *reader) missed(oldest log.Position) {
	if r.replay == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if end := min(oldest, r.replay.until+1); end > r.window.Scanned()+1 {
		r.replay.skipped += uint64(end - r.window.Scanned() - 1)
		r.window.Advance(end - 1)
		r.finish()
	}
}

// replayed is how far the replay is now.
func (r *reader) replayed(of Replayed) Replayed {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := &r.stats
	of.Next = min(r.window.Low(), of.To) + 1
	of.Matched, of.Delivered, of.Retried, of.Dead, of.DeadKept = n.matched, n.delivered, n.retried, n.deadSink+n.deadKept, n.deadKept
	of.Lost = n.lost + r.replay.skipped
	return of
}
