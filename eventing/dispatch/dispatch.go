package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
	"ebb.dev/ebb/eventing/trace"
)

// Sender carries an event to a destination once; *send.Sender is one.
type Sender interface {
	Send(ctx context.Context, r send.Request) send.Answer
}

// Options are what a Dispatcher works with. Log and Sender are needed; zero values of the others are the defaults said.
type Options struct {
	Log    log.Log
	Sender Sender
	// Accept takes replies back into a stream, as if they had come in; with ErrNotYet it is tried again, and counts for nothing. Without it
	// replies of Triggers are appended to the Log.
	Accept func(ctx context.Context, stream model.StreamID, events ...*event.Event) error
	// MayReply says why a reader may not have a reply taken back into its stream, with ErrMayNot; another error is worth another try, and
	// ErrNotYet counts for nothing. Without it every reader may.
	MayReply func(ctx context.Context, r model.Reader, reply *event.Event) error
	Clock    clock.WithDelayedExecution
	Logger   *slog.Logger
	// Tracer makes a span of each attempt; nil makes none.
	Tracer *trace.Tracer
	// Registerer gets the metrics; nil registers none.
	Registerer prometheus.Registerer

	// Concurrency is how many deliveries a reader that names no number has under way: 10.
	Concurrency int
	// Window is how many positions a reader has open before it falls behind: 1,024.
	Window int
	// EventBytes bounds the events kept in memory for all readers, of which one may have an eighth: 64 MiB.
	EventBytes int64
	// Timeout bounds an attempt of a Delivery that names none: 10 minutes, longer than a gateway holds a request for a subscriber at zero.
	Timeout time.Duration
	// KeepEvery is how long changes of a reader's state are gathered before they are kept: 50 ms.
	KeepEvery time.Duration
	// KeepIdle is how often the position of a reader is kept that only passes over events, and so how long a tool may see it lag: 5 s, as
	// often as Kafka's consumers commit.
	KeepIdle time.Duration
	// Grace is how long Run waits at its end for deliveries under way: 5 s.
	Grace time.Duration
	// DeadLimits bound a reader's list of dead events: 30 days and 64 MiB.
	DeadLimits model.Limits
}

func (o *Options) fill() {
	setDefault(&o.Concurrency, 10)
	setDefault(&o.Window, 1024)
	setDefault(&o.EventBytes, 64<<20)
	setDefault(&o.Timeout, 10*time.Minute)
	setDefault(&o.KeepEvery, 50*time.Millisecond)
	setDefault(&o.KeepIdle, 5*time.Second)
	setDefault(&o.Grace, 5*time.Second)
	if o.DeadLimits == (model.Limits{}) {
		o.DeadLimits = model.Limits{Age: 30 * 24 * time.Hour, Bytes: 64 << 20}
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MayReply == nil {
		o.MayReply = func(context.Context, model.Reader, *event.Event) error { return nil }
	}
	if o.Accept == nil {
		o.Accept = func(ctx context.Context, stream model.StreamID, events ...*event.Event) error {
			_, err := o.Log.Append(ctx, stream, events...)
			return err
		}
	}
}

// ErrMayNot is that a reader may not send an event where it would go.
var ErrMayNot = errors.New("it may not send there")

// ErrNotYet is that a stream does not take events yet, and will.
var ErrNotYet = errors.New("it does not take events yet")

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Dispatcher delivers. Its methods may be called at the same time, before, during and after Run.
type Dispatcher struct {
	Options
	keeper *keeper
	// cached is how many bytes of events are kept in memory.
	cached atomic.Int64
	// random is in [0, 1); tests fix it.
	random func() float64

	crowds crowds

	// change is held while the set of readers changes, I/O included.
	change sync.Mutex

	mu      sync.RWMutex
	streams map[model.StreamID]*stream
	readers map[model.ReaderID]*reader
	// replays are those under way, by the reader that they are for.
	replays map[model.ReaderID]*reader
	// widths are those of all readers, by what the readers of a stream's partitions have in common.
	widths map[model.ReaderID]*width
	// run is set while Run runs.
	run     context.Context
	stopped bool

	// followers are the goroutines that read the log, replaying those that wait for a replay.
	followers, replaying sync.WaitGroup
}

// New is a Dispatcher without readers. It panics if the metrics are registered already.
func New(o Options) *Dispatcher {
	o.fill()
	d := &Dispatcher{
		Options: o,
		random:  rand.Float64,
		streams: map[model.StreamID]*stream{},
		readers: map[model.ReaderID]*reader{},
		replays: map[model.ReaderID]*reader{},
		widths:  map[model.ReaderID]*width{},
	}
	d.keeper = newKeeper(d)
	d.crowds = crowds{readers: map[*reader]struct{}{}, grown: make(chan struct{}, 1)}
	if o.Registerer != nil {
		o.Registerer.MustRegister(&collector{d})
	}
	return d
}

// loaders is how many readers Set loads at once: each waits for the log.
const loaders = 16

// Set makes the readers those given, all of them: it removes every other one with its state. A list that is not complete, such as one made
// before a cache has synced, loses positions. What failed is in the error; the others are in place.
func (d *Dispatcher) Set(ctx context.Context, readers []model.Reader) error {
	wanted := make(map[model.ReaderID]bool, len(readers))
	for _, r := range readers {
		wanted[r.ID] = true
	}
	var errs []error
	for _, r := range d.all() {
		if !wanted[r.id] {
			errs = append(errs, d.Remove(ctx, r.id))
		}
	}
	d.change.Lock()
	defer d.change.Unlock()
	failed := make([]error, len(readers))
	var group sync.WaitGroup
	slots := make(chan struct{}, loaders)
	for i, r := range readers {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			failed[i] = d.upsert(ctx, r)
		})
	}
	group.Wait()
	return errors.Join(append(errs, failed...)...)
}

// Upsert adds a reader, or changes it: what is in flight ends as it began, what follows is as the reader says now. When it returns, the place
// where a new reader begins is stored: from then on nothing that is appended passes it by.
func (d *Dispatcher) Upsert(ctx context.Context, r model.Reader) error {
	d.change.Lock()
	defer d.change.Unlock()
	return d.upsert(ctx, r)
}

func (d *Dispatcher) upsert(ctx context.Context, spec model.Reader) error {
	old := d.reader(spec.ID)
	switch {
	case old == nil:
		return d.add(ctx, spec)
	case old.stream.id != spec.Stream:
		if err := d.remove(ctx, old); err != nil {
			return err
		}
		return d.add(ctx, spec)
	case old.reordered(spec):
		// Lanes are made as positions are added: the window is built anew from what is kept.
		old.retire()
		if err := d.keeper.keep(ctx, old); err != nil {
			old.revive()
			return err
		}
		old.forgotten()
		d.detach(old)
		return d.add(ctx, spec)
	default:
		old.change(spec)
		d.changeReplay(spec)
		return nil
	}
}

// add loads a reader and puts it at its stream.
func (d *Dispatcher) add(ctx context.Context, spec model.Reader) error {
	w, err := d.load(ctx, spec)
	if err != nil {
		return fmt.Errorf("%s %s: %w", spec.Kind, spec.Key, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.streams[spec.Stream]
	if s == nil {
		s = newStream(d, spec.Stream)
		d.streams[spec.Stream] = s
	}
	r := newReader(d, s, spec, w)
	d.readers[spec.ID] = r
	s.attach(r)
	if d.run != nil {
		s.start(d.run)
		r.begin()
	}
	return nil
}

// share is the width of a reader that is added. d.mu is held.
func (d *Dispatcher) share(id model.ReaderID) *width {
	base, _ := partition.Of(id)
	w := d.widths[base]
	if w == nil {
		w = &width{}
		d.widths[base] = w
	}
	w.readers++
	return w
}

// unshare undoes share. d.mu is held.
func (d *Dispatcher) unshare(id model.ReaderID) {
	base, _ := partition.Of(id)
	w := d.widths[base]
	if w.readers--; w.readers == 0 {
		delete(d.widths, base)
	}
}

// Remove ends a reader: its deliveries are broken off, its state and its list of dead events are dropped.
func (d *Dispatcher) Remove(ctx context.Context, id model.ReaderID) error {
	d.change.Lock()
	defer d.change.Unlock()
	r := d.reader(id)
	if r == nil {
		return nil
	}
	return d.remove(ctx, r)
}

func (d *Dispatcher) remove(ctx context.Context, r *reader) error {
	d.dropReplay(r.id)
	r.retire()
	d.detach(r)
	r.forgotten()
	err := d.Log.Forget(ctx, r.stream.id, r.id)
	for _, side := range []model.StreamID{DeadStream(r.id), sideStream(r.id)} {
		if e := d.Log.Remove(ctx, side); e != nil && !errors.Is(e, log.ErrUnknown) {
			err = errors.Join(err, e)
		}
	}
	if err != nil && !errors.Is(err, log.ErrUnknown) {
		return fmt.Errorf("%s: forget its position: %w", r.name(), err)
	}
	return nil
}

// detach takes a reader out of the maps; a stream without readers ends.
func (d *Dispatcher) detach(r *reader) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.readers, r.id)
	d.unshare(r.id)
	if r.stream.detach(r) == 0 {
		r.stream.stop()
		delete(d.streams, r.stream.id)
	}
	r.empty()
}

func (d *Dispatcher) reader(id model.ReaderID) *reader {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.readers[id]
}

func (d *Dispatcher) all() []*reader {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]*reader, 0, len(d.readers))
	for _, r := range d.readers {
		all = append(all, r)
	}
	return all
}

// Run delivers until the context ends. Then it waits for what is in flight, breaks off what takes longer than Grace, and keeps every reader's
// state. It runs once.
func (d *Dispatcher) Run(ctx context.Context) error {
	if err := d.open(ctx); err != nil {
		return err
	}
	keeping, stopKeeping := context.WithCancel(context.Background())
	var keep sync.WaitGroup
	keep.Go(func() { d.keeper.run(keeping) })

	<-ctx.Done()
	d.close()
	d.followers.Wait()
	d.replaying.Wait()
	readers := d.all()
	for _, r := range readers {
		r.close()
	}
	d.drain(readers)
	stopKeeping()
	keep.Wait()
	return d.keeper.flush()
}

func (d *Dispatcher) open(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.run != nil || d.stopped {
		return errors.New("the dispatcher has been run already")
	}
	d.run = ctx
	for _, s := range d.streams {
		s.start(ctx)
	}
	for _, r := range d.readers {
		r.begin()
	}
	return nil
}

func (d *Dispatcher) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.run, d.stopped = nil, true
	for _, s := range d.streams {
		s.stop()
	}
}

// drain waits for deliveries under way, and breaks them off after Grace.
func (d *Dispatcher) drain(readers []*reader) {
	ended := make(chan struct{})
	go func() {
		for _, r := range readers {
			r.workers.Wait()
		}
		close(ended)
	}()
	grace := make(chan struct{})
	timer := d.Clock.AfterFunc(d.Grace, func() { close(grace) })
	defer timer.Stop()
	select {
	case <-ended:
	case <-grace:
		for _, r := range readers {
			r.cancel()
		}
		<-ended
	}
}
