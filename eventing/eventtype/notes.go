package eventtype

import (
	"context"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

const (
	// remembered is how many kinds of events are known not to be new, twice; older ones are looked at again.
	remembered = 4096
	// waiting is how many new ones wait for their EventType.
	waiting = 256
	// textBytes bounds a type or a source that is noted: what is longer has no EventType.
	textBytes = 1024
)

// Notes are the kinds of events that were seen and are new.
type Notes struct {
	// Enabled says whether anything is noted. It is asked for every event, and must not wait.
	Enabled func() bool

	news chan note

	mu       sync.RWMutex
	now, old map[note]struct{}
}

// note is that a kind of event was seen in a stream.
type note struct {
	stream model.StreamID
	seen   Seen
}

// NewNotes makes Notes.
func NewNotes(enabled func() bool) *Notes {
	return &Notes{Enabled: enabled, news: make(chan note, waiting), now: map[note]struct{}{}}
}

// See notes events of a stream. It does not wait.
func (n *Notes) See(stream model.StreamID, events ...*event.Event) {
	if !n.Enabled() {
		return
	}
	for _, e := range events {
		n.see(note{stream, seenOf(e)})
	}
}

func (n *Notes) see(one note) {
	if len(one.seen.Type) > textBytes || len(one.seen.Source) > textBytes || len(one.seen.Schema) > textBytes {
		return
	}
	n.mu.RLock()
	_, known := n.now[one]
	if !known {
		_, known = n.old[one]
	}
	n.mu.RUnlock()
	if known {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.now[one]; known {
		return
	}
	select {
	case n.news <- one:
	default:
		return // it is new the next time too
	}
	if len(n.now) >= remembered {
		n.now, n.old = map[note]struct{}{}, n.now
	}
	n.now[one] = struct{}{}
}

// forget makes a note new again.
func (n *Notes) forget(one note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.now, one)
	delete(n.old, one)
}

// Noting is a log whose events are noted as they are stored.
func (n *Notes) Noting(l log.Log) log.Log { return &noting{l, n} }

type noting struct {
	log.Log
	notes *Notes
}

// Append stores events and notes them.
func (n *noting) Append(ctx context.Context, stream model.StreamID, events ...*event.Event) ([]log.Position, error) {
	positions, err := n.Log.Append(ctx, stream, events...)
	if err == nil {
		n.notes.See(stream, events...)
	}
	return positions, err
}
