package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ebb.dev/ebb/eventing/dispatch/position"
	"ebb.dev/ebb/eventing/log"
)

const (
	// keepers is how many states are stored at once: the log syncs them together.
	keepers = 16
	// flushTime bounds the last storing of states as Run ends.
	flushTime = 10 * time.Second
)

// keeper stores the states of readers that have changed, gathering changes.
type keeper struct {
	d *Dispatcher
	// work has room for one: it says that something is in dirty.
	work chan struct{}

	mu    sync.Mutex
	dirty map[*reader]struct{}
}

// keeping is what a keeper knows about a reader.
type keeping struct {
	// mu is held while the state is stored.
	mu sync.Mutex
	// gone says that the state is not ours to store any more.
	gone bool
	// low is what was stored last.
	low log.Position
	// side is the position up to which events stored apart are not needed.
	side log.Position
}

func newKeeper(d *Dispatcher) *keeper {
	return &keeper{d: d, work: make(chan struct{}, 1), dirty: map[*reader]struct{}{}}
}

// changed says that a reader's state is to be stored. It never waits.
func (k *keeper) changed(r *reader) {
	k.mu.Lock()
	k.dirty[r] = struct{}{}
	k.mu.Unlock()
	select {
	case k.work <- struct{}{}:
	default:
	}
}

// run stores what has changed, at most every KeepEvery, until the context ends.
func (k *keeper) run(ctx context.Context) {
	idle := make(chan struct{}, 1)
	ring := func() {
		select {
		case idle <- struct{}{}:
		default:
		}
	}
	timer := k.d.Clock.AfterFunc(k.d.KeepIdle, ring)
	defer func() { timer.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle:
			k.passedOver()
			timer = k.d.Clock.AfterFunc(k.d.KeepIdle, ring)
		case <-k.work:
			k.d.pause(ctx, k.d.KeepEvery)
			if errs := k.keepAll(ctx, k.take()); len(errs) > 0 {
				k.d.pause(ctx, retryLog)
			}
		}
	}
}

// passedOver marks the readers that have moved on without anything to deliver.
func (k *keeper) passedOver() {
	for _, r := range k.d.all() {
		r.mu.Lock()
		low := r.low()
		r.mu.Unlock()
		r.keeping.mu.Lock()
		moved := low > r.keeping.low
		r.keeping.mu.Unlock()
		if moved {
			k.changed(r)
		}
	}
}

func (k *keeper) take() []*reader {
	k.mu.Lock()
	defer k.mu.Unlock()
	taken := make([]*reader, 0, len(k.dirty))
	for r := range k.dirty {
		taken = append(taken, r)
	}
	clear(k.dirty)
	return taken
}

// keepAll stores the states of readers. Those that could not be stored are tried again.
func (k *keeper) keepAll(ctx context.Context, readers []*reader) []error {
	var mu sync.Mutex
	var errs []error
	var group sync.WaitGroup
	slots := make(chan struct{}, keepers)
	for _, r := range readers {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			err := k.keep(ctx, r)
			if err == nil {
				return
			}
			k.changed(r)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	group.Wait()
	if len(errs) > 0 && ctx.Err() == nil {
		k.d.Logger.Error("positions cannot be kept, tried again", "readers", len(errs), "error", errs[0])
	}
	return errs
}

// keep stores a reader's state as it is now.
func (k *keeper) keep(ctx context.Context, r *reader) error {
	r.keeping.mu.Lock()
	defer r.keeping.mu.Unlock()
	if r.keeping.gone {
		return nil
	}
	state, low, side := r.state()
	if err := k.d.Log.Keep(ctx, r.stream.id, r.id, low, state); err != nil {
		return fmt.Errorf("%s: keep its position: %w", r.name(), err)
	}
	r.keeping.low = low
	if side <= r.keeping.side {
		return nil
	}
	// After the state that needs them no more: a crash in between must find them.
	if err := k.d.Log.Keep(ctx, sideStream(r.id), r.id, side, []byte{}); err != nil {
		return fmt.Errorf("%s: release what it kept apart: %w", r.name(), err)
	}
	r.keeping.side = side
	return nil
}

// forgotten ends that the reader's state is stored, and waits if it is just being stored.
func (r *reader) forgotten() {
	r.keeping.mu.Lock()
	defer r.keeping.mu.Unlock()
	r.keeping.gone = true
}

// flush stores what has changed as Run ends.
func (k *keeper) flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	k.passedOver()
	return errors.Join(k.keepAll(ctx, k.take())...)
}

// low is the position up to which the reader needs nothing, also where it only passed over events. r.mu is held.
func (r *reader) low() log.Position {
	if !r.behind {
		// Everything up to the head was offered, and what passed is in the window.
		r.window.Advance(log.Position(r.stream.head.Load()))
	}
	return r.window.Low()
}

// state is the reader's state to store, its low-water mark, and the position up to which events stored apart are not needed.
func (r *reader) state() (encoded []byte, low, side log.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	low = r.low()
	s := r.window.Snapshot()
	for i := range s.Items {
		s.Items[i] = r.durable(s.Items[i])
	}
	side = r.asideAt
	if needed := r.window.LowRef(); needed > 0 {
		side = needed - 1
	}
	return s.Encode(nil), low, side
}

// durable is an item as it can be taken up after a crash: a stage whose event is in memory only begins with the subscriber again, by one
// last attempt if that had failed.
func (r *reader) durable(it position.Item) position.Item {
	if it.Stage == position.Subscriber || it.Ref != 0 {
		return it
	}
	failed := 0
	if it.Stage != position.Reply {
		failed = r.spec.Delivery.Retry
	}
	return position.Item{Position: it.Position, Failed: failed, Due: it.Due}
}
