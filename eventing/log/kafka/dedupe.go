package kafka

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"

	"ebb.dev/ebb/eventing/log"
)

// identity stands for a source and id. Its seeds are this process's own, so that nobody can make two events collide.
type identity [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func identityOf(source, id string) identity {
	var out identity
	for i, seed := range seeds {
		var h maphash.Hash
		h.SetSeed(seed)
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(id))))
		_, _ = h.WriteString(id)
		_, _ = h.WriteString(source)
		out[i] = h.Sum64()
	}
	return out
}

// window knows the events of a span of time, those on their way to Kafka included.
type window struct {
	mu sync.Mutex
	// span is how long an event is known; zero knows none but those on their way.
	span   time.Duration
	known  map[identity]log.Position
	flying map[identity]*attempt
	// queue has what is known in the order of its times, so that forgetting takes no search.
	queue []stored
	begin int
}

type stored struct {
	key      identity
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
	return &window{span: span, known: map[identity]log.Position{}, flying: map[identity]*attempt{}}
}

// claim says what is to be done about an event: nothing if it is known (a is nil); wait for a if it is on its way already; send it and settle a
// if it is new.
func (w *window) claim(key identity, now time.Time) (p log.Position, a *attempt, fresh bool) {
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
func (w *window) settle(key identity, a *attempt, p log.Position, err error, at time.Time) {
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
func (w *window) remember(key identity, p log.Position, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, has := w.known[key]; !has && w.span > 0 {
		w.add(key, p, at)
	}
}

func (w *window) add(key identity, p log.Position, at time.Time) {
	w.known[key] = p
	w.queue = append(w.queue, stored{key, p, at})
}

// resize changes the span.
func (w *window) resize(span time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.span = span; span <= 0 {
		w.known, w.queue, w.begin = map[identity]log.Position{}, nil, 0
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
