package kafka

import (
	"sync"
	"time"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/window"
)

// known has the events of a span of time, those on their way to Kafka included.
type known struct {
	mu sync.Mutex
	// stored is what Kafka has.
	stored *window.Events
	flying map[log.Identity]*attempt
}

// attempt is an event on its way. position and err are set once done is closed.
type attempt struct {
	done     chan struct{}
	position log.Position
	err      error
}

func newKnown(span time.Duration) *known {
	return &known{stored: window.New(span), flying: map[log.Identity]*attempt{}}
}

// claim says what is to be done about an event: nothing if it is known (a is nil); wait for a if it is on its way already; send it and settle a
// if it is new.
func (k *known) claim(key log.Identity, now time.Time) (p log.Position, a *attempt, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stored.Span() > 0 {
		if p, ok := k.stored.Find(key, now); ok {
			return p, nil, false
		}
		if a, ok := k.flying[key]; ok {
			return 0, a, false
		}
	}
	a = &attempt{done: make(chan struct{})}
	if k.stored.Span() > 0 {
		k.flying[key] = a
	}
	return 0, a, true
}

// settle says what became of an attempt.
func (k *known) settle(key log.Identity, a *attempt, p log.Position, err error, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flying[key] == a {
		delete(k.flying, key)
	}
	if err == nil {
		k.stored.Add(key, p, at)
	}
	a.position, a.err = p, err
	close(a.done)
}

// remember takes in what is stored already.
func (k *known) remember(key log.Identity, p log.Position, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.stored.Has(key) {
		k.stored.Add(key, p, at)
	}
}

// resize changes the span.
func (k *known) resize(span time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stored.Resize(span)
}
