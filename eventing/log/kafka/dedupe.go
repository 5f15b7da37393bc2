package kafka

import (
	"sync"
	"time"

	"ebb.dev/ebb/eventing/log"
)

// window knows the events of a span of time, those on their way to Kafka included.
type window struct {
	mu sync.Mutex
	// span is how long an event is known; zero knows none but those on their way.
	span   time.Duration
	known  map[log.Identity]log.Position
	flying map[log.Identity]*attempt
	// queue has what is known in the order of its times, so that forgetting takes no search.
	queue []stored
	begin int
}

type stored struct {
	key      log.Identity
	position log.Position
	at       time.Time
}

// attempt is an event on its way. position and err are set once done is closed.
type attempt struct {
	done     chan struct{}
	position log.Position
	err      error
}

func newWindow(span time.Duration) *window {
	return &window{span: span, known: map[log.Identity]log.Position{}, flying: map[log.Identity]*attempt{}}
}

// claim says what is to be done about an event: nothing if it is known (a is nil); wait for a if it is on its way already; send it and settle a
// if it is new.
func (w *window) claim(key log.Identity, now time.Time) (p log.Position, a *attempt, fresh bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.span > 0 {
		w.forget(now)
		if p, ok := w.known[key]; ok {
			return p, nil, false
		}
		if a, ok := w.flying[key]; ok {
			return 0, a, false
		}
	}
	a = &attempt{done: make(chan struct{})}
	if w.span > 0 {
		w.flying[key] = a
	}
	return 0, a, true
}

// settle says what became of an attempt.
func (w *window) settle(key log.Identity, a *attempt, p log.Position, err error, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flying[key] == a {
		delete(w.flying, key)
	}
	if err == nil && w.span > 0 {
		w.add(key, p, at)
	}
	a.position, a.err = p, err
	close(a.done)
}

// remember takes in what is stored already.
func (w *window) remember(key log.Identity, p log.Position, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, has := w.known[key]; !has && w.span > 0 {
		w.add(key, p, at)
	}
}

func (w *window) add(key log.Identity, p log.Position, at time.Time) {
	w.known[key] = p
	w.queue = append(w.queue, stored{key, p, at})
}

// resize changes the span.
func (w *window) resize(span time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.span = span; span <= 0 {
		w.known, w.queue, w.begin = map[log.Identity]log.Position{}, nil, 0
	}
}

func (w *window) forget(now time.Time) {
	limit := now.Add(-w.span)
	for w.begin < len(w.queue) && w.queue[w.begin].at.Before(limit) {
		if s := w.queue[w.begin]; w.known[s.key] == s.position {
			delete(w.known, s.key)
		}
		w.begin++
	}
	if w.begin > len(w.queue)/2 {
		w.queue = append(w.queue[:0:0], w.queue[w.begin:]...)
		w.begin = 0
	}
}
