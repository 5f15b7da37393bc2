package partition

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// Dispatcher delivers to readers.
type Dispatcher interface {
	Upsert(ctx context.Context, r model.Reader) error
	Remove(ctx context.Context, id model.ReaderID) error
}

// Log is what is asked of the log.
type Log interface {
	// Partitions are the streams of a stream's partitions, none for a stream that has but one order.
	Partitions(stream model.StreamID) ([]model.StreamID, error)
	// Kept returns what was kept last of a reader; nil without an error when nothing was.
	Kept(ctx context.Context, stream model.StreamID, reader model.ReaderID) ([]byte, error)
	// Committed is where a consumer group would go on in a partition; zero if nobody knows.
	Committed(ctx context.Context, stream model.StreamID, group string) (log.Position, error)
	// Group names the consumer group that shows where a reader is.
	Group(stream model.StreamID, reader model.ReaderID, group string)
}

// Readers hands readers to a dispatcher, one for each partition.
type Readers struct {
	Dispatcher Dispatcher
	Log        Log
	// Group names the consumer group of a reader; "" for none.
	Group func(model.Reader) string

	mu sync.Mutex
	// parts is how many readers a reader is; 0 for one that is itself.
	parts map[model.ReaderID]int32
}

// Set starts a reader, or changes it.
func (r *Readers) Set(ctx context.Context, reader model.Reader) error {
	streams, err := r.Log.Partitions(reader.Stream)
	if err != nil {
		return err
	}
	had, before := r.known(reader.ID)
	if had && (before == 0) != (len(streams) == 0) {
		// Its stream is kept elsewhere now.
		if err := r.Remove(ctx, reader.ID); err != nil {
			return err
		}
	}
	r.know(reader.ID, int32(len(streams)))
	if len(streams) == 0 {
		return r.Dispatcher.Upsert(ctx, reader)
	}
	group := ""
	if r.Group != nil {
		if group = r.Group(reader); group != "" {
			r.Log.Group(reader.Stream, reader.ID, group)
		}
	}
	// The first comes last: once it is kept, all that there were then are, and what has nothing kept has joined later.
	for n := len(streams) - 1; n >= 0; n-- {
		one, err := r.one(ctx, reader, streams, n, group)
		if err != nil {
			return err
		}
		if err := r.Dispatcher.Upsert(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

// one is a reader's reader of a partition.
func (r *Readers) one(ctx context.Context, reader model.Reader, streams []model.StreamID, n int, group string) (model.Reader, error) {
	out := reader
	out.ID, out.Stream = Reader(reader.ID, int32(n)), streams[n]
	out.Concurrency, out.Rate = Share(reader.Concurrency, len(streams)), reader.Rate/float64(len(streams))
	kept, err := r.Log.Kept(ctx, out.Stream, out.ID)
	if err != nil || kept != nil {
		return out, err
	}
	if n > 0 {
		first, err := r.Log.Kept(ctx, streams[0], Reader(reader.ID, 0))
		if err != nil {
			return out, err
		}
		if first != nil {
			out.Start = model.Start{Earliest: true}
			return out, nil
		}
	}
	if group == "" || reader.Start != (model.Start{}) {
		return out, nil
	}
	at, err := r.Log.Committed(ctx, out.Stream, group)
	if err != nil {
		return out, fmt.Errorf("where consumer group %s is: %w", group, err)
	}
	if at > 0 {
		out.Start, out.Begun = model.Start{Position: uint64(at)}, false // it had begun elsewhere, and the topic is not new
	}
	return out, nil
}

// Share is the part of a bound that one of several has, at least one of it; zero is no bound.
func Share(bound, among int) int {
	if bound <= 0 {
		return bound
	}
	return max(bound/among, 1)
}

// Remove ends a reader and forgets its position.
func (r *Readers) Remove(ctx context.Context, id model.ReaderID) error {
	_, parts := r.known(id)
	var errs []error
	if parts == 0 {
		errs = append(errs, r.Dispatcher.Remove(ctx, id))
	}
	for n := range parts {
		errs = append(errs, r.Dispatcher.Remove(ctx, Reader(id, n)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.parts, id)
	return nil
}

func (r *Readers) known(id model.ReaderID) (bool, int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, has := r.parts[id]
	return has, n
}

func (r *Readers) know(id model.ReaderID, n int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.parts == nil {
		r.parts = map[model.ReaderID]int32{}
	}
	r.parts[id] = max(n, r.parts[id])
}
