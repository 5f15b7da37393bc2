package placed

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/kafka"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// Place is where a stream is kept, if not in the default log.
type Place struct {
	Cluster cluster.Cluster
	Topic   topic.Topic
}

// Hooks are called by a log; each may be nil.
type Hooks struct {
	// Owner says whose the streams on Kafka are; it is asked before a cluster is connected to.
	Owner func(ctx context.Context) (string, error)
	// Opened is called with each log on Kafka that was opened. It does not wait for anything.
	Opened func(*kafka.Log)
}

// Log is all logs as one.
type Log struct {
	// Hooks are set before the log is used.
	Hooks Hooks

	main log.Log
	// options are those of every log on Kafka, but for the cluster and the replication.
	options kafka.Options

	mu       sync.Mutex
	places   map[model.StreamID]Place
	homes    map[model.StreamID]*home
	clusters map[string]*home
}

var _ log.Log = (*Log)(nil)

// home is the log of one cluster.
type home struct {
	id string
	// opening is held while the log is opened; log is set once it is, for good. failed says when and why it last was not.
	opening sync.Mutex
	log     *kafka.Log
	failed  error
	at      time.Time
	// streams are those that live there; Log.mu guards it.
	streams map[model.StreamID]bool
}

// New is a log that keeps in main whatever is not placed elsewhere. options are those of logs on Kafka, all of one holder.
func New(main log.Log, options kafka.Options) *Log {
	if options.Holder == "" {
		options.Holder = rand.Text()
	}
	return &Log{
		main: main, options: options,
		places: map[model.StreamID]Place{}, homes: map[model.StreamID]*home{}, clusters: map[string]*home{},
	}
}

// Close closes the logs on Kafka; the default one is its owner's.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.clusters {
		h.close()
	}
}

func (h *home) close() {
	h.opening.Lock()
	defer h.opening.Unlock()
	if h.log != nil {
		h.log.Close()
	}
}

// Place says where a stream is to be kept from its next Ensure on.
func (l *Log) Place(id model.StreamID, p Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.places[id] = p
}

// in is the log that has a stream.
func (l *Log) in(id model.StreamID) log.Log {
	if h := l.home(id); h != nil {
		return h.log
	}
	return l.main
}

// home is the cluster that has a stream; nil for the default log.
func (l *Log) home(id model.StreamID) *home {
	base, _ := partition.Of(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.homes[id]; h != nil {
		return h
	}
	return l.homes[base]
}

// Ensure makes a stream where it is placed, or changes its limits.
func (l *Log) Ensure(ctx context.Context, m model.Stream) error {
	l.mu.Lock()
	place, placed := l.places[m.ID]
	l.mu.Unlock()
	if !placed {
		return l.main.Ensure(ctx, m)
	}
	h, err := l.open(ctx, place)
	if err != nil {
		return err
	}
	if err := h.log.EnsureTopic(ctx, m, place.Topic); err != nil {
		return err
	}
	l.settle(m.ID, h)
	return nil
}

// settle says which cluster has a stream from now on. The one that had it before is left as it is: who connects may have changed, and not where.
func (l *Log) settle(id model.StreamID, h *home) {
	l.mu.Lock()
	old := l.homes[id]
	l.homes[id], h.streams[id] = h, true
	var empty *home
	if old != nil && old != h {
		delete(old.streams, id)
		empty = l.unused(old)
	}
	l.mu.Unlock()
	if empty != nil {
		// Whoever follows there is told, and follows here.
		empty.close()
	} else if old != nil && old != h {
		old.log.Release(id)
	}
}

// unused takes a cluster out that has no stream left, and returns it; nil if it has. l.mu is held.
func (l *Log) unused(h *home) *home {
	if len(h.streams) > 0 {
		return nil
	}
	delete(l.clusters, h.id)
	return h
}

// leaveAlone is how long a cluster that could not be reached is not tried again: all its streams ask.
const leaveAlone = 3 * time.Second

// open finds the log of a cluster, opening it if need be.
func (l *Log) open(ctx context.Context, p Place) (*home, error) {
	id := p.Cluster.ID()
	l.mu.Lock()
	h := l.clusters[id]
	if h == nil {
		h = &home{id: id, streams: map[model.StreamID]bool{}}
		l.clusters[id] = h
	}
	l.mu.Unlock()
	h.opening.Lock()
	defer h.opening.Unlock()
	if h.log != nil {
		return h, nil
	}
	if h.failed != nil && time.Since(h.at) < leaveAlone {
		return nil, h.failed
	}
	opened, err := l.connect(ctx, p)
	if err != nil {
		h.failed, h.at = err, time.Now()
		return nil, err
	}
	h.log, h.failed = opened, nil
	if l.Hooks.Opened != nil {
		l.Hooks.Opened(opened)
	}
	return h, nil
}

func (l *Log) connect(ctx context.Context, p Place) (*kafka.Log, error) {
	options, err := l.optionsOf(ctx, p.Cluster, p.Topic.Replication)
	if err != nil {
		return nil, err
	}
	return kafka.Open(ctx, options)
}

func (l *Log) optionsOf(ctx context.Context, c cluster.Cluster, replication int16) (kafka.Options, error) {
	out := l.options
	out.Cluster, out.Replication = c, replication
	if l.Hooks.Owner == nil {
		return out, nil
	}
	var err error
	if out.Owner, err = l.Hooks.Owner(ctx); err != nil {
		return out, fmt.Errorf("%w: whose its streams on Kafka are: %w", log.ErrUnavailable, err)
	}
	return out, nil
}

// Visit opens the log on a cluster that has had streams, though none may be placed there any more. One that never had any is left as it is.
func (l *Log) Visit(ctx context.Context, c cluster.Cluster) error {
	options, err := l.optionsOf(ctx, c, 0)
	if err != nil {
		return err
	}
	used, err := kafka.Used(ctx, options)
	if err != nil || !used {
		return err
	}
	_, err = l.open(ctx, Place{Cluster: c})
	return err
}

// Remove drops a stream, its readers and everything in it.
func (l *Log) Remove(ctx context.Context, id model.StreamID) error {
	h := l.home(id)
	if h == nil {
		l.mu.Lock()
		delete(l.places, id)
		l.mu.Unlock()
		return l.main.Remove(ctx, id)
	}
	if err := h.log.Remove(ctx, id); err != nil {
		return err
	}
	l.mu.Lock()
	delete(l.places, id)
	delete(l.homes, id)
	delete(h.streams, id)
	empty := l.unused(h)
	l.mu.Unlock()
	if empty != nil {
		empty.close()
	}
	return nil
}

// Append stores events.
func (l *Log) Append(ctx context.Context, id model.StreamID, events ...*event.Event) ([]log.Position, error) {
	return l.in(id).Append(ctx, id, events...)
}

// Follow calls f with every record from a position on.
func (l *Log) Follow(ctx context.Context, id model.StreamID, from log.Position, f func(log.Record) error) error {
	return l.in(id).Follow(ctx, id, from, f)
}

// Get reads single records.
func (l *Log) Get(ctx context.Context, id model.StreamID, positions ...log.Position) ([]log.Record, error) {
	return l.in(id).Get(ctx, id, positions...)
}

// At is the position of the first record stored at a time or later.
func (l *Log) At(ctx context.Context, id model.StreamID, since time.Time) (log.Position, error) {
	return l.in(id).At(ctx, id, since)
}

// Bounds are the oldest position that is kept and the next one to come.
func (l *Log) Bounds(ctx context.Context, id model.StreamID) (oldest, next log.Position, err error) {
	return l.in(id).Bounds(ctx, id)
}

// Keep stores a reader's state.
func (l *Log) Keep(ctx context.Context, id model.StreamID, reader model.ReaderID, read log.Position, state []byte) error {
	return l.in(id).Keep(ctx, id, reader, read, state)
}

// Kept returns what was kept last.
func (l *Log) Kept(ctx context.Context, id model.StreamID, reader model.ReaderID) ([]byte, error) {
	return l.in(id).Kept(ctx, id, reader)
}

// Forget drops a reader.
func (l *Log) Forget(ctx context.Context, id model.StreamID, reader model.ReaderID) error {
	return l.in(id).Forget(ctx, id, reader)
}

// Partitions are the streams of a stream's partitions, none for a stream of the default log. One that is placed and was not made yet has an
// error, so that nobody takes it for one of the default log's.
func (l *Log) Partitions(id model.StreamID) ([]model.StreamID, error) {
	if h := l.home(id); h != nil {
		return h.log.Partitions(id)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if p, placed := l.places[id]; placed {
		return nil, fmt.Errorf("stream %s: %w: topic %s is not there yet", id, log.ErrUnavailable, p.Topic.Name)
	}
	return nil, nil
}

// PartitionOf is the stream that an event of a stream is kept in: that of a partition, or the stream itself where it has but one order.
func (l *Log) PartitionOf(id model.StreamID, e *event.Event) (model.StreamID, error) {
	if h := l.home(id); h != nil {
		return h.log.PartitionOf(id, e)
	}
	return id, nil
}

// Committed is where a consumer group would go on in a partition; zero if nobody knows.
func (l *Log) Committed(ctx context.Context, id model.StreamID, group string) (log.Position, error) {
	if h := l.home(id); h != nil {
		return h.log.Committed(ctx, id, group)
	}
	return 0, nil
}

// Group names the consumer group that shows where a reader of a stream is.
func (l *Log) Group(id model.StreamID, reader model.ReaderID, group string) {
	if h := l.home(id); h != nil {
		h.log.Group(reader, group)
	}
}
