package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// Log is an event log in memory. It has no limits but those that its streams name.
type Log struct {
	// Now is the log's clock; time.Now if nil.
	Now func() time.Time

	mu      sync.Mutex
	streams map[model.StreamID]*stream
}

var _ log.Log = (*Log)(nil)

type stream struct {
	limits  model.Limits
	records []log.Record
	sizes   []int64
	readers map[model.ReaderID]state
	// changed is closed when something was appended or the stream was removed.
	changed chan struct{}
}

type state struct {
	read log.Position
	data []byte
}

func (l *Log) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

func (l *Log) find(id model.StreamID) (*stream, error) {
	if s := l.streams[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("stream %s: %w", id, log.ErrUnknown)
}

// Ensure makes a stream, or changes its limits.
func (l *Log) Ensure(_ context.Context, m model.Stream) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams == nil {
		l.streams = make(map[model.StreamID]*stream)
	}
	if l.streams[m.ID] == nil {
		l.streams[m.ID] = &stream{readers: make(map[model.ReaderID]state), changed: make(chan struct{})}
	}
	l.streams[m.ID].limits = m.Limits
	return nil
}

// Remove drops a stream.
func (l *Log) Remove(_ context.Context, id model.StreamID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.streams[id]; s != nil {
		delete(l.streams, id)
		close(s.changed)
	}
	return nil
}

// Append keeps copies of events.
func (l *Log) Append(_ context.Context, id model.StreamID, events ...*event.Event) ([]log.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.find(id)
	if err != nil {
		return nil, err
	}
	size := int64(0)
	for _, e := range events {
		if most := s.limits.Event; most > 0 && int64(len(e.Data())) > most {
			return nil, fmt.Errorf("event %s: %w", e.ID(), log.ErrTooLarge)
		}
		size += int64(len(e.Data()))
	}
	if most := s.limits.Unread; most > 0 && s.unread()+size > most {
		return nil, fmt.Errorf("stream %s: %w", id, log.ErrFull)
	}
	now := l.now()
	positions := make([]log.Position, len(events))
	for i, e := range events {
		positions[i] = s.add(e, now)
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return positions, nil
}

func (s *stream) add(e *event.Event, now time.Time) log.Position {
	for _, r := range s.records {
		if s.limits.Dedupe > 0 && !r.Stored.Before(now.Add(-s.limits.Dedupe)) && log.IdentityOf(r.Event) == log.IdentityOf(e) {
			return r.Position
		}
	}
	own := e.Clone()
	r := log.Record{Position: log.Position(len(s.records) + 1), Stored: now, Event: &own}
	s.records = append(s.records, r)
	s.sizes = append(s.sizes, int64(len(e.Data())))
	return r.Position
}

// unread is what the slowest reader has still to read, in bytes.
func (s *stream) unread() int64 {
	slowest := len(s.records)
	for _, r := range s.readers {
		slowest = min(slowest, int(r.read))
	}
	sum := int64(0)
	for _, size := range s.sizes[slowest:] {
		sum += size
	}
	return sum
}

// Follow calls f with every record from a position on.
func (l *Log) Follow(ctx context.Context, id model.StreamID, from log.Position, f func(log.Record) error) error {
	next := max(from, 1)
	for {
		l.mu.Lock()
		s, err := l.find(id)
		if err != nil {
			l.mu.Unlock()
			return err
		}
		var records []log.Record
		if int(next) <= len(s.records) {
			records = s.records[next-1:]
		}
		changed := s.changed
		l.mu.Unlock()
		for _, r := range records {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f(r); err != nil {
				return err
			}
			next = r.Position + 1
		}
		if len(records) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Get reads single records.
func (l *Log) Get(_ context.Context, id model.StreamID, positions ...log.Position) ([]log.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.find(id)
	if err != nil {
		return nil, err
	}
	var out []log.Record
	for _, p := range positions {
		if p >= 1 && int(p) <= len(s.records) {
			out = append(out, s.records[p-1])
		}
	}
	return out, nil
}

// At is the position of the first record stored at a time or later.
func (l *Log) At(_ context.Context, id model.StreamID, since time.Time) (log.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.find(id)
	if err != nil {
		return 0, err
	}
	for _, r := range s.records {
		if !r.Stored.Before(since) {
			return r.Position, nil
		}
	}
	return log.Position(len(s.records) + 1), nil
}

// Bounds are the oldest position and the next one to come.
func (l *Log) Bounds(_ context.Context, id model.StreamID) (oldest, next log.Position, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.find(id)
	if err != nil {
		return 0, 0, err
	}
	return 1, log.Position(len(s.records) + 1), nil
}

// Keep keeps a reader's state.
func (l *Log) Keep(_ context.Context, id model.StreamID, reader model.ReaderID, read log.Position, data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.find(id)
	if err != nil {
		return err
	}
	s.readers[reader] = state{read: read, data: append([]byte{}, data...)}
	return nil
}

// Kept returns what was kept last.
func (l *Log) Kept(_ context.Context, id model.StreamID, reader model.ReaderID) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.find(id)
	if err != nil {
		return nil, err
	}
	if at, ok := s.readers[reader]; ok {
		return append([]byte{}, at.data...), nil
	}
	return nil, nil
}

// Forget drops a reader.
func (l *Log) Forget(_ context.Context, id model.StreamID, reader model.ReaderID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.find(id)
	if err != nil {
		return err
	}
	delete(s.readers, reader)
	return nil
}
