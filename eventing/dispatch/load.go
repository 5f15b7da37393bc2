package dispatch

import (
	"context"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/dispatch/position"
	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// DeadStream is where a reader's dead events are kept, with why they died (knativeerrordest, -code, -data), when no sink took them. The readers of a
// stream's partitions have one list.
func DeadStream(id model.ReaderID) model.StreamID {
	base, _ := partition.Of(id)
	return "dead/" + model.StreamID(base)
}

// sideStream is where events are kept that a reader has to send and that its stream does not have: replies and dead letters to be retried.
func sideStream(id model.ReaderID) model.StreamID { return "side/" + model.StreamID(id) }

// load is a reader's window as it was kept, or as it begins; that is stored before load returns.
func (d *Dispatcher) load(ctx context.Context, spec model.Reader) (*position.Window, error) {
	kept, err := d.Log.Kept(ctx, spec.Stream, spec.ID)
	if err != nil {
		return nil, fmt.Errorf("read its position: %w", err)
	}
	oldest, next, err := d.Log.Bounds(ctx, spec.Stream)
	if err != nil {
		return nil, fmt.Errorf("read the bounds of its stream: %w", err)
	}
	if kept == nil {
		return d.beginning(ctx, spec, oldest, next)
	}
	state, err := position.Decode(kept)
	if err != nil {
		return nil, fmt.Errorf("its position: %w; make it again to begin anew", err)
	}
	state = within(state, next)
	lane, err := d.lanes(ctx, spec, state.Items)
	if err != nil {
		return nil, err
	}
	return position.Restore(state, spec.Ordered, lane), nil
}

// within cuts a state to what the log has: a log that lost its end in a crash gives those positions to other events.
func within(s position.State, next log.Position) position.State {
	if s.Scanned < next {
		return s
	}
	s.Scanned = max(next, 1) - 1
	for i, it := range s.Items {
		if it.Position > s.Scanned {
			s.Items = s.Items[:i]
			break
		}
	}
	return s
}

// beginning is the window of a new reader, stored.
func (d *Dispatcher) beginning(ctx context.Context, spec model.Reader, oldest, next log.Position) (*position.Window, error) {
	first := next
	switch start := spec.Start; {
	case spec.Begun:
		first = oldest
	case start.Position > 0:
		first = log.Position(start.Position)
	case !start.Since.IsZero():
		at, err := d.Log.At(ctx, spec.Stream, start.Since)
		if err != nil {
			return nil, fmt.Errorf("find the first event since %s: %w", start.Since, err)
		}
		first = at
	case start.Last:
		first = max(next-1, oldest)
	case start.Earliest:
		first = oldest
	}
	w := position.New(max(first, 1)-1, spec.Ordered)
	if err := d.Log.Keep(ctx, spec.Stream, spec.ID, w.Low(), w.Snapshot().Encode(nil)); err != nil {
		return nil, fmt.Errorf("keep where it begins: %w", err)
	}
	return w, nil
}

// loadBatch is how many events are read at once to learn their lanes.
const loadBatch = 128

// lanes are those of a reader's open positions; nil for readers that have none.
func (d *Dispatcher) lanes(ctx context.Context, spec model.Reader, items []position.Item) (func(log.Position) string, error) {
	if !spec.Ordered {
		return nil, nil
	}
	names := make(map[log.Position]string, len(items))
	for len(items) > 0 {
		n := min(len(items), loadBatch)
		positions := make([]log.Position, n)
		for i, it := range items[:n] {
			positions[i] = it.Position
		}
		records, err := d.Log.Get(ctx, spec.Stream, positions...)
		if err != nil {
			return nil, fmt.Errorf("read its open events: %w", err)
		}
		for _, record := range records {
			names[record.Position] = lane(record.Event)
		}
		items = items[n:]
	}
	return func(p log.Position) string { return names[p] }, nil
}

// lane is the group in which an event keeps its order.
func lane(e *event.Event) string {
	name, _ := extension.Text(e, extension.PartitionKey)
	return name
}
