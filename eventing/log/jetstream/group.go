package jetstream

import (
	"context"
	"runtime"
	"sync"
)

// group gathers what is asked for while a commit is under way, and commits it together afterwards. One commit is under way at a time; who
// comes when none is, commits at once and waits for nobody.
type group[T any] struct {
	// commit does what several ask for and sets each one's err. It is never called twice at the same time.
	commit func([]*request[T])
	// limit bounds the weight of one commit; a single request may be heavier.
	limit int

	mu      sync.Mutex
	waiting []*request[T]
	busy    bool
}

type request[T any] struct {
	value  T
	weight int
	err    error
	done   chan struct{}
}

// do returns when value was committed. If the context ends before, value may be committed all the same.
func (g *group[T]) do(ctx context.Context, value T, weight int) error {
	r := &request[T]{value: value, weight: weight, done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, r)
	first := !g.busy
	g.busy = true
	g.mu.Unlock()
	if first {
		if g.round() {
			go g.drain()
		}
		return r.err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *group[T]) drain() {
	// Those that the last commit released get to ask again, so that they share the next one.
	runtime.Gosched()
	for g.round() {
		runtime.Gosched()
	}
}

// round commits what is waiting and reports whether more is.
func (g *group[T]) round() bool {
	batch := g.take()
	g.commit(batch)
	for _, r := range batch {
		close(r.done)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = len(g.waiting) > 0
	return g.busy
}

func (g *group[T]) take() []*request[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, weight := 0, 0
	for n < len(g.waiting) && (n == 0 || weight+g.waiting[n].weight <= g.limit) {
		weight += g.waiting[n].weight
		n++
	}
	batch := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	if len(g.waiting) == 0 {
		g.waiting = nil
	}
	return batch
}
