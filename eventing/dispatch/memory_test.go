package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// errCrashed is what a log says to a dispatcher that has crashed.
var errCrashed = errors.New("crashed")

// memory is a log.Log in memory. It outlives the dispatchers that use it.
type memory struct {
	mu      sync.Mutex
	streams map[model.StreamID]*kept
	grown   chan struct{}
	now     func() time.Time
	// keeps counts Keep, gets counts Get, follows counts records handed to followers.
	keeps, gets, follows int
	// failing makes Append to a stream fail.
	failing map[model.StreamID]error
}

type kept struct {
	first   log.Position
	records []log.Record
	states  map[model.ReaderID][]byte
	reads   map[model.ReaderID]log.Position
}

func newMemory(now func() time.Time, streams ...model.StreamID) *memory {
	m := &memory{streams: map[model.StreamID]*kept{}, grown: make(chan struct{}), now: now, failing: map[model.StreamID]error{}}
	for _, id := range streams {
		_ = m.Ensure(context.Background(), model.Stream{ID: id})
	}
	return m
}

func (m *memory) Ensure(_ context.Context, s model.Stream) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.streams[s.ID] == nil {
		m.streams[s.ID] = &kept{first: 1, states: map[model.ReaderID][]byte{}, reads: map[model.ReaderID]log.Position{}}
	}
	return nil
}

func (m *memory) Remove(_ context.Context, id model.StreamID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.streams, id)
	return nil
}

func (m *memory) Append(_ context.Context, id model.StreamID, events ...*event.Event) ([]log.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.streams[id]
	if s == nil {
		return nil, log.ErrUnknown
	}
	if err := m.failing[id]; err != nil {
		return nil, err
	}
	var at []log.Position
	for _, e := range events {
		p := s.first + log.Position(len(s.records))
		s.records = append(s.records, log.Record{Position: p, Stored: m.now(), Event: e})
		at = append(at, p)
	}
	close(m.grown)
	m.grown = make(chan struct{})
	return at, nil
}

func (m *memory) Follow(ctx context.Context, id model.StreamID, from log.Position, f func(log.Record) error) error {
	for {
		m.mu.Lock()
		s := m.streams[id]
		if s == nil {
			m.mu.Unlock()
			return log.ErrUnknown
		}
		from = max(from, s.first)
		var batch []log.Record
		if i := int(from - s.first); i < len(s.records) {
			batch = s.records[i:]
		}
		grown := m.grown
		m.follows += len(batch)
		m.mu.Unlock()
		for _, record := range batch {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := f(record); err != nil {
				return err
			}
			from = record.Position + 1
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		}
	}
}

func (m *memory) Get(_ context.Context, id model.StreamID, positions ...log.Position) ([]log.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gets++
	s := m.streams[id]
	if s == nil {
		return nil, log.ErrUnknown
	}
	var records []log.Record
	for _, p := range positions {
		if p >= s.first && int(p-s.first) < len(s.records) {
			records = append(records, s.records[p-s.first])
		}
	}
	return records, nil
}

func (m *memory) At(_ context.Context, id model.StreamID, since time.Time) (log.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.streams[id]
	for _, record := range s.records {
		if !record.Stored.Before(since) {
			return record.Position, nil
		}
	}
	return s.first + log.Position(len(s.records)), nil
}

func (m *memory) Bounds(_ context.Context, id model.StreamID) (oldest, next log.Position, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.streams[id]
	if s == nil {
		return 0, 0, log.ErrUnknown
	}
	return s.first, s.first + log.Position(len(s.records)), nil
}

func (m *memory) Keep(_ context.Context, id model.StreamID, r model.ReaderID, read log.Position, state []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.streams[id]
	if s == nil {
		return log.ErrUnknown
	}
	m.keeps++
	s.states[r], s.reads[r] = state, read
	return nil
}

func (m *memory) Kept(_ context.Context, id model.StreamID, r model.ReaderID) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.streams[id]; s != nil {
		return s.states[r], nil
	}
	return nil, log.ErrUnknown
}

func (m *memory) Forget(_ context.Context, id model.StreamID, r model.ReaderID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.streams[id]; s != nil {
		delete(s.states, r)
		delete(s.reads, r)
	}
	return nil
}

// trim drops what every reader is done with.
func (m *memory) trim(id model.StreamID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.streams[id]
	read := s.first + log.Position(len(s.records)) - 1
	for _, p := range s.reads {
		read = min(read, p)
	}
	if read >= s.first {
		s.records = s.records[read-s.first+1:]
		s.first = read + 1
	}
}

// stored are the events of a stream.
func (m *memory) stored(id model.StreamID) []*event.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.streams[id]
	if s == nil {
		return nil
	}
	var events []*event.Event
	for _, record := range s.records {
		events = append(events, record.Event)
	}
	return events
}

// mortal is a log as a process sees it: after its crash nothing of what the process does reaches it.
type mortal struct {
	log.Log
	mu      sync.Mutex
	crashed bool
}

func (m *mortal) crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashed = true
}

func (m *mortal) dead() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return errCrashed
	}
	return nil
}

func (m *mortal) Keep(ctx context.Context, id model.StreamID, r model.ReaderID, read log.Position, state []byte) error {
	if err := m.dead(); err != nil {
		return err
	}
	return m.Log.Keep(ctx, id, r, read, state)
}

func (m *mortal) Append(ctx context.Context, id model.StreamID, events ...*event.Event) ([]log.Position, error) {
	if err := m.dead(); err != nil {
		return nil, err
	}
	return m.Log.Append(ctx, id, events...)
}
