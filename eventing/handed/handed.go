package handed

import (
	"context"
	"fmt"
	"sync"

	"ebb.dev/ebb/eventing/model"
)

// Plane is what moves events: the log, its ingress and the dispatcher.
type Plane interface {
	// EnsureStream makes a stream that takes events from now on, or changes it.
	EnsureStream(ctx context.Context, stream model.Stream) error
	// RemoveStream drops a stream with everything in it.
	RemoveStream(ctx context.Context, id model.StreamID) error
	// SetReader starts a reader, or changes it.
	SetReader(ctx context.Context, reader model.Reader) error
	// RemoveReader ends a reader and forgets its position.
	RemoveReader(ctx context.Context, stream model.StreamID, id model.ReaderID) error
}

// Memory hands over, and remembers under which object's name, so that it can be taken back once that object is gone. Its methods may be
// called at once for different objects.
type Memory struct {
	plane   Plane
	streams names[model.StreamID]
	readers names[reading]
	// begun are readers that had begun before and could not be started since: their objects do not say the former any more.
	begun names[model.ReaderID]
}

// reading is a reader that was handed over.
type reading struct {
	stream model.StreamID
	id     model.ReaderID
}

// New makes a memory of what the plane is handed. Each reconciler has its own: what is none of its objects is not taken back by it.
func New(plane Plane) *Memory { return &Memory{plane: plane} }

// EnsureStream gives the plane the stream of an object, or what changed of it. Whatever the object had before is to be dropped first, with
// DropStream.
func (m *Memory) EnsureStream(ctx context.Context, stream model.Stream) error {
	if err := m.plane.EnsureStream(ctx, stream); err != nil {
		return err
	}
	m.streams.keep(object{stream.Kind, stream.Key}, stream.ID)
	return nil
}

// DropStream drops the stream that an object had with everything in it, unless it is now, the one that it has now; "" is none.
func (m *Memory) DropStream(ctx context.Context, kind model.Kind, name model.Key, now model.StreamID) error {
	old, had := m.streams.other(object{kind, name}, now)
	if !had {
		return nil
	}
	if err := m.plane.RemoveStream(ctx, old); err != nil {
		return fmt.Errorf("drop what %s %s stored: %w", kind, name, err)
	}
	m.streams.forget(object{kind, name}, old)
	return nil
}

// SetReader gives the plane the reader of an object, or what changed of it; nil is none. Another one that the object had is ended first.
func (m *Memory) SetReader(ctx context.Context, kind model.Kind, name model.Key, reader *model.Reader) error {
	if reader == nil {
		return m.DropReader(ctx, kind, name)
	}
	now := reading{reader.Stream, reader.ID}
	if err := m.dropReader(ctx, kind, name, now); err != nil {
		return err
	}
	wanted, of := *reader, object{kind, name}
	wanted.Begun = wanted.Begun || m.begun.is(of, wanted.ID)
	if err := m.plane.SetReader(ctx, wanted); err != nil {
		if wanted.Begun {
			m.begun.keep(of, wanted.ID)
		}
		return fmt.Errorf("start the reader of %s %s: %w", kind, name, err)
	}
	m.begun.forget(of, wanted.ID)
	m.readers.keep(of, now)
	return nil
}

// DropReader ends the reader that an object had and forgets its position.
func (m *Memory) DropReader(ctx context.Context, kind model.Kind, name model.Key) error {
	return m.dropReader(ctx, kind, name, reading{})
}

func (m *Memory) dropReader(ctx context.Context, kind model.Kind, name model.Key, now reading) error {
	old, had := m.readers.other(object{kind, name}, now)
	if !had {
		return nil
	}
	if err := m.plane.RemoveReader(ctx, old.stream, old.id); err != nil {
		return fmt.Errorf("end the reader of %s %s: %w", kind, name, err)
	}
	m.readers.forget(object{kind, name}, old)
	return nil
}

// object is what something was handed over for.
type object struct {
	kind model.Kind
	name model.Key
}

// names is what was handed over for which object.
type names[T comparable] struct {
	mu sync.Mutex
	of map[object]T
}

// other returns what was handed over for an object, unless it is now's.
func (n *names[T]) other(o object, now T) (T, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old, had := n.of[o]
	return old, had && old != now
}

// is reports whether it is what was handed over for an object.
func (n *names[T]) is(o object, what T) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	old, had := n.of[o]
	return had && old == what
}

func (n *names[T]) keep(o object, now T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of == nil {
		n.of = map[object]T{}
	}
	n.of[o] = now
}

// forget drops an object if it still stands for old.
func (n *names[T]) forget(o object, old T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of[o] == old {
		delete(n.of, o)
	}
}
