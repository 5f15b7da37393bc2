package scale

import (
	"context"
	"sync"
)

// pool runs functions beside the loop, at most limit at once, in the order they came. It has no goroutine while it has nothing to do.
type pool struct {
	limit int

	mu      sync.Mutex
	running int
	queue   []func()
	ended   bool
	done    sync.WaitGroup
}

func newPool(limit int) *pool { return &pool{limit: limit} }

// start lets go of what waits when ctx is cancelled; what runs sees ctx itself.
func (p *pool) start(ctx context.Context) {
	context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended, p.queue = true, nil
	})
}

func (p *pool) submit(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	if p.running == p.limit {
		p.queue = append(p.queue, f)
		return
	}
	p.running++
	p.done.Add(1)
	go p.work(f)
}

func (p *pool) work(f func()) {
	defer p.done.Done()
	for f != nil {
		f()
		f = p.next()
	}
}

// next returns what waits, or nil to end the worker.
func (p *pool) next() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		p.running--
		return nil
	}
	f := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	return f
}

// waiting is how many functions wait for a worker.
func (p *pool) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue)
}

// wait returns when nothing runs any more.
func (p *pool) wait() { p.done.Wait() }
