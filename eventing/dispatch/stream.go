package dispatch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"ebb.dev/ebb/eventing/filter"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

const (
	// near is how far back, in positions, the follower begins after a restart for the sake of readers that were left behind; those further
	// back catch up by themselves.
	near = 10_000
	// retryFollow is how long the log is left alone after it failed to be followed.
	retryFollow = time.Second
)

// stream reads one stream of the log for all its readers.
type stream struct {
	d  *Dispatcher
	id model.StreamID
	// head is the last position that was offered to all readers that are not behind.
	head atomic.Uint64
	// lagging wakes the goroutine that catches up.
	lagging chan struct{}

	// mu is held while a record is offered, and while the set of readers changes. A reader's lock may be taken under it.
	mu      sync.Mutex
	readers map[model.ReaderID]*reader
	// filters are those of all readers.
	filters *filter.Set[model.ReaderID]
	cancel  context.CancelFunc
	// turn is where the next pass looks for a reader to serve.
	turn model.ReaderID
}

func newStream(d *Dispatcher, id model.StreamID) *stream {
	return &stream{d: d, id: id, lagging: make(chan struct{}, 1), readers: map[model.ReaderID]*reader{}, filters: &filter.Set[model.ReaderID]{}}
}

// attach adds a reader.
func (s *stream) attach(r *reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers[r.id] = r
	s.filters = s.filters.With(r.id, r.current().Filter)
	if !r.joins(log.Position(s.head.Load())) {
		s.wake()
	}
}

// detach takes a reader away and returns how many are left.
func (s *stream) detach(r *reader) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers, r.id)
	s.filters = s.filters.Without(r.id)
	return len(s.readers)
}

// refilter puts a reader's filter in place of the one it had.
func (s *stream) refilter(id model.ReaderID, f filter.Filter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filters = s.filters.With(id, f)
}

// wake says that a reader may catch up.
func (s *stream) wake() {
	select {
	case s.lagging <- struct{}{}:
	default:
	}
}

// start begins to follow the log, if that has not begun.
func (s *stream) start(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		return
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.d.followers.Go(func() { s.follow(ctx) })
	s.d.followers.Go(func() { s.catchUp(ctx) })
}

func (s *stream) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
}

// follow offers every record to the readers that are not behind.
func (s *stream) follow(ctx context.Context) {
	for begun := false; ctx.Err() == nil; {
		err := error(nil)
		if !begun {
			err = s.begin(ctx)
			begun = err == nil
		}
		if err == nil {
			err = s.d.Log.Follow(ctx, s.id, log.Position(s.head.Load())+1, s.feed)
		}
		if ctx.Err() != nil {
			return
		}
		s.d.Logger.Error("stream cannot be followed, tried again", "stream", s.id, "in", retryFollow, "error", err)
		s.d.pause(ctx, retryFollow)
	}
}

// pause waits, or until the context ends.
func (d *Dispatcher) pause(ctx context.Context, wait time.Duration) {
	passed := make(chan struct{})
	timer := d.Clock.AfterFunc(wait, func() { close(passed) })
	defer timer.Stop()
	select {
	case <-passed:
	case <-ctx.Done():
	}
}

// begin chooses where to follow from: the end, or as far before it as readers are that were left near it.
func (s *stream) begin(ctx context.Context) error {
	oldest, next, err := s.d.Log.Bounds(ctx, s.id)
	if err != nil {
		return err
	}
	end := max(next, 1) - 1
	limit := max(oldest, 1) - 1
	if end > near {
		limit = max(limit, end-near)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	head := end
	for _, r := range s.readers {
		if at := r.scanned(); at >= limit {
			head = min(head, at)
		}
	}
	// Readers first: one that is not behind takes the head for its own place.
	for _, r := range s.readers {
		if !r.place(head) {
			s.wake()
		}
	}
	s.head.Store(uint64(head))
	return nil
}

// feed offers a record to every reader that it concerns. It waits for none of them.
func (s *stream) feed(record log.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := log.Position(s.head.Load())
	s.filters.Match(record.Event, func(id model.ReaderID) {
		if r := s.readers[id]; r != nil {
			r.offer(record, before)
		}
	})
	s.head.Store(uint64(record.Position))
	return nil
}

// errEnough ends a pass.
var errEnough = errors.New("the pass has read enough")
