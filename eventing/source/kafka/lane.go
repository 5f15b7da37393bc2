package kafka

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// queueMost is how many records of a partition are in memory before it is paused, queueLeast how few there are when it goes on.
	queueMost  = 512
	queueLeast = 128
	// unorderedAtOnce is how many of a partition's events are delivered side by side where order does not matter.
	unorderedAtOnce = 32
)

// lane delivers the records of one partition while a member has it.
type lane struct {
	// deliver carries one record; an error ends the lane.
	deliver func(context.Context, *kgo.Record) error
	// done says that everything up to a record is through.
	done func(*kgo.Record)
	// pause is told whether to fetch no more for now.
	pause func(bool)

	cancel  context.CancelFunc
	workers sync.WaitGroup

	mu   sync.Mutex
	more *sync.Cond
	// queue are records that nobody has begun with, open those begun and not through, in order.
	queue []*kgo.Record
	open  []*carried
	// end is the partition's at the last fetch: the offset that comes after its last record.
	end    int64
	paused bool
	ended  bool
}

// carried is a record that somebody has begun with.
type carried struct {
	record  *kgo.Record
	through bool
}

// newLane starts a lane of as many workers as may deliver at once.
func newLane(ctx context.Context, atOnce int, deliver func(context.Context, *kgo.Record) error, done func(*kgo.Record), pause func(bool)) *lane {
	l := &lane{deliver: deliver, done: done, pause: pause}
	l.more = sync.NewCond(&l.mu)
	ctx, l.cancel = context.WithCancel(ctx)
	for range atOnce {
		l.workers.Go(func() { l.work(ctx) })
	}
	return l
}

// add queues what was fetched of a partition that ends before an offset.
func (l *lane) add(records []*kgo.Record, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = end
	l.queue = append(l.queue, records...)
	if !l.paused && len(l.queue) >= queueMost {
		l.paused = true
		l.pause(true)
	}
	l.more.Broadcast()
}

// lag is how many records there are that nobody has begun with.
func (l *lane) lag() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return 0 // the next fetch tells of more
	}
	return max(len(l.queue), int(l.end-l.queue[0].Offset))
}

// stop breaks off what is being delivered and waits for it.
func (l *lane) stop() {
	l.mu.Lock()
	l.ended = true
	l.more.Broadcast()
	l.mu.Unlock()
	l.cancel()
	l.workers.Wait()
}

func (l *lane) work(ctx context.Context) {
	for {
		c := l.next()
		if c == nil {
			return
		}
		if err := l.deliver(ctx, c.record); err != nil {
			return
		}
		l.through(c)
	}
}

// next waits for a record to begin with; nil ends the worker.
func (l *lane) next() *carried {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && !l.ended {
		l.more.Wait()
	}
	if l.ended {
		return nil
	}
	c := &carried{record: l.queue[0]}
	l.queue[0] = nil
	l.queue = l.queue[1:]
	l.open = append(l.open, c)
	if l.paused && len(l.queue) <= queueLeast {
		l.paused = false
		l.pause(false)
	}
	return c
}

// through says that a record is done with, and tells up to where all are.
func (l *lane) through(c *carried) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.through = true
	var last *kgo.Record
	for len(l.open) > 0 && l.open[0].through {
		last = l.open[0].record
		l.open = l.open[1:]
	}
	if last != nil {
		l.done(last)
	}
}
