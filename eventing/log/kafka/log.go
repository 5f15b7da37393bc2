package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ebb.dev/ebb/eventing/kafka/cluster"
	"ebb.dev/ebb/eventing/kafka/record"
	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// Options say where the log is.
type Options struct {
	Cluster cluster.Cluster
	// Name prefixes the topic of readers' states and names the client; "ebb" by default.
	Name string
	// Owner is whose streams these are, such as a Kubernetes cluster's; "" by default. Of one owner's logs of one name, the one opened last keeps
	// states, and the others end; those of other owners are left alone.
	Owner string
	// Holder tells processes apart: logs of one holder do not end each other. By default each log is one of its own.
	Holder string
	// Replication is that of the topic of readers' states; zero is Kafka's own default.
	Replication int16
	// Topic says what topic a stream has that Ensure makes; by default one named after the stream, of one partition. EnsureTopic names it.
	Topic func(model.Stream) topic.Topic
	// Timeout bounds one Append, Keep or question to Kafka; 10 seconds by default.
	Timeout time.Duration
	// CommitEvery is how often positions are committed to consumer groups; a second by default.
	CommitEvery time.Duration
	// Metrics count; nil counts nothing.
	Metrics *Metrics
	Logger  *slog.Logger
	Now     func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = "ebb"
	}
	if o.Holder == "" {
		o.Holder = rand.Text()
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.CommitEvery <= 0 {
		o.CommitEvery = time.Second
	}
	if o.Topic == nil {
		o.Topic = func(s model.Stream) topic.Topic {
			return topic.Topic{Name: o.Name + "." + legal(string(s.ID)), Partitions: 1}
		}
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// statesTopic is the topic of readers' states.
func (o Options) statesTopic() string { return o.Name + "-broker-states" }

// legal makes a text one that can be in a topic's name.
func legal(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '.' || (r >= '0' && r <= '9') || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') {
			return r
		}
		return '_'
	}, s)
}

// Log is an event log on one Kafka cluster. It ends, with ErrTaken, when another one of its owner is opened under its name.
type Log struct {
	options Options
	// client writes, asks and reads pages; tails follows what comes in, on connections of its own.
	client *kgo.Client
	admin  *kadm.Client
	tails  *tails
	states *states
	groups *groups

	// ctx ends when the log is closed, or when another one takes over.
	ctx    context.Context
	cancel context.CancelCauseFunc
	work   sync.WaitGroup

	// resting is how many partitions have a rest.
	resting atomic.Int64

	mu      sync.Mutex
	streams map[model.StreamID]*stream
	// topics has a lock for each topic that was made or deleted.
	topics map[string]*sync.Mutex
}

var _ log.Log = (*Log)(nil)

// Open connects and reads the states that are kept. An error that is a *cluster.Unreachable says what to do about it.
func Open(ctx context.Context, o Options) (*Log, error) {
	o = o.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, 3*o.Timeout)
	defer cancel()
	l := &Log{options: o, streams: map[model.StreamID]*stream{}, topics: map[string]*sync.Mutex{}}
	var err error
	l.client, err = o.Cluster.Connect(ctx, o.Name+"-broker",
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.RecordDeliveryTimeout(o.Timeout), kgo.MaxBufferedBytes(64<<20))
	if err != nil {
		return nil, err
	}
	l.admin = kadm.NewClient(l.client)
	l.admin.SetTimeoutMillis(int32(o.Timeout / time.Millisecond))
	follower, err := o.Cluster.Connect(ctx, o.Name+"-follower", tailOptions...)
	if err != nil {
		l.client.Close()
		return nil, err
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.tails = newTails(l, follower)
	l.groups = newGroups(l)
	if l.states, err = l.openStates(ctx); err != nil {
		l.cancel(nil)
		l.client.Close()
		follower.Close()
		return nil, l.explain(err)
	}
	for id, kept := range l.states.streams() {
		l.streams[id] = newStream(l, id, kept)
	}
	maps.Copy(l.groups.names, l.states.groups)
	l.work.Go(l.tails.run)
	l.work.Go(l.groups.run)
	return l, nil
}

// Close waits for what is being committed, and ends whoever follows.
func (l *Log) Close() {
	l.cancel(nil)
	l.work.Wait()
	l.client.Close()
	l.tails.client.Close()
}

// explain makes an error one of the log's.
func (l *Log) explain(err error) error {
	if err == nil || errors.Is(err, log.ErrUnknown) || errors.Is(err, log.ErrTooLarge) || errors.Is(err, log.ErrUnavailable) || errors.Is(err, log.ErrInvalid) {
		return err
	}
	if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) {
		return fmt.Errorf("%w: %w; raise max.message.bytes of the topic or send less", log.ErrTooLarge, err)
	}
	if errors.Is(err, ErrTaken) {
		return fmt.Errorf("%w: %w", log.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", log.ErrUnavailable, cluster.Explain(l.options.Cluster, err))
}

// bounded is a context for one question to Kafka.
func (l *Log) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, l.options.Timeout)
}

// Ensure makes a stream, or changes its limits.
func (l *Log) Ensure(ctx context.Context, m model.Stream) error {
	return l.EnsureTopic(ctx, m, l.options.Topic(m))
}

// EnsureTopic makes a stream of a topic, or changes its limits. The topic is made if it is not there; one that is there stays as it is, and
// what it has is the stream's. Another stream that had the topic is forgotten with its readers.
func (l *Log) EnsureTopic(ctx context.Context, m model.Stream, t topic.Topic) error {
	if err := l.Taken(); err != nil {
		return l.explain(err)
	}
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	defer l.alone(t.Name)()
	partitions, made, err := l.ensureTopic(ctx, t)
	if err != nil {
		return fmt.Errorf("topic %s: %w", t.Name, l.explain(err))
	}
	if err := l.discover(ctx, t.Name, partitions); err != nil {
		return fmt.Errorf("topic %s: its new partitions: %w", t.Name, l.explain(err))
	}
	kept := keptStream{Topic: t.Name, External: t.External, Limits: m.Limits, Partitions: partitions, Owner: l.options.Owner}
	// Whoever had the topic before may have had it made.
	kept.Made = !t.External && (made || l.states.made(t.Name))
	if err := l.supersede(ctx, m.ID, t.Name); err != nil {
		return l.explain(err)
	}
	if err := l.states.keepStream(ctx, m.ID, kept); err != nil {
		return fmt.Errorf("stream %s: %w", m.ID, l.explain(err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.streams[m.ID]; s != nil && s.topic == t.Name {
		s.change(kept)
		return nil
	}
	l.streams[m.ID] = newStream(l, m.ID, kept)
	return nil
}

// alone is held while a topic is made or deleted; what it returns ends that.
func (l *Log) alone(topic string) (unlock func()) {
	l.mu.Lock()
	one := l.topics[topic]
	if one == nil {
		one = &sync.Mutex{}
		l.topics[topic] = one
	}
	l.mu.Unlock()
	one.Lock()
	return one.Unlock
}

// supersede forgets every other stream of a topic.
func (l *Log) supersede(ctx context.Context, id model.StreamID, name string) error {
	l.mu.Lock()
	var old []*stream
	for _, s := range l.streams {
		if (s.topic == name) != (s.id == id) {
			old = append(old, s)
			delete(l.streams, s.id)
		}
	}
	l.mu.Unlock()
	for _, s := range old {
		s.remove()
		if err := l.states.forgetStream(ctx, s.id); err != nil {
			return fmt.Errorf("forget stream %s: %w", s.id, err)
		}
	}
	return nil
}

// ensureTopic makes a topic, or finds it, and returns how many partitions it has, and whether it was made.
func (l *Log) ensureTopic(ctx context.Context, t topic.Topic) (partitions int32, made bool, err error) {
	return topic.Ensure(ctx, l.client, t, func() {
		l.client.PurgeTopicsFromProducing(t.Name)
		l.tails.client.PurgeTopicsFromConsuming(t.Name)
	})
}

// discoverPoll is the pause between two looks at what the client knows of a topic.
const discoverPoll = 20 * time.Millisecond

// discover has the client write to partitions that were added since it first wrote to a topic; by itself it learns of them within minutes, and
// refuses records for them until then.
func (l *Log) discover(ctx context.Context, topic string, partitions int32) error {
	known := func(n int32) bool {
		leader, _, err := l.client.PartitionLeader(topic, n)
		return leader >= 0 || err != nil // one without a leader is known too
	}
	if !known(0) || known(partitions-1) {
		return nil // what nothing was written to is looked up with the first record
	}
	tick := time.NewTicker(discoverPoll)
	defer tick.Stop()
	for !known(partitions - 1) {
		l.client.ForceMetadataRefresh()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// Remove drops a stream with its topic, unless that is external, and its readers. What fails can be tried again.
func (l *Log) Remove(ctx context.Context, id model.StreamID) error {
	return l.remove(ctx, id, func(s *stream) bool { return !s.isExternal() })
}

// remove drops a stream and its readers, and its topic if that says so.
func (l *Log) remove(ctx context.Context, id model.StreamID, deletes func(*stream) bool) (err error) {
	s, err := l.find(id)
	if errors.Is(err, log.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.alone(s.topic)()
	l.mu.Lock()
	still := l.streams[id] == s
	if still {
		delete(l.streams, id)
	}
	l.mu.Unlock()
	if !still {
		return nil
	}
	s.remove()
	defer func() {
		if err != nil {
			l.restore(id)
		}
	}()
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	if deletes(s) {
		if err := l.deleteTopic(ctx, s.topic); err != nil {
			return err
		}
	}
	readers := l.states.readersOf(id)
	if err := l.states.forgetStream(ctx, id); err != nil {
		return fmt.Errorf("forget stream %s: %w", id, l.explain(err))
	}
	for _, reader := range readers {
		l.groups.forget(ctx, reader, s.topic)
	}
	return nil
}

// restore knows a stream again whose removal failed.
func (l *Log) restore(id model.StreamID) {
	kept, has := l.states.streams()[id]
	l.mu.Lock()
	defer l.mu.Unlock()
	if has && l.streams[id] == nil {
		l.streams[id] = newStream(l, id, kept)
	}
}

func (l *Log) deleteTopic(ctx context.Context, name string) error {
	if err := topic.Delete(ctx, l.client, name); err != nil {
		return fmt.Errorf("delete topic %s: %w", name, l.explain(err))
	}
	l.client.PurgeTopicsFromProducing(name)
	l.tails.client.PurgeTopicsFromConsuming(name)
	return nil
}

// Release ends whoever follows a stream, and leaves everything as it is: another log has it from now on.
func (l *Log) Release(id model.StreamID) {
	l.mu.Lock()
	s := l.streams[id]
	delete(l.streams, id)
	l.mu.Unlock()
	if s != nil {
		s.remove()
	}
}

// Partitions are the streams of a stream's partitions, in order.
func (l *Log) Partitions(id model.StreamID) ([]model.StreamID, error) {
	s, err := l.find(id)
	if err != nil {
		return nil, err
	}
	out := make([]model.StreamID, s.partitions())
	for i := range out {
		out[i] = partition.Stream(id, int32(i))
	}
	return out, nil
}

// PartitionOf is the stream of the partition that an event of a stream belongs in.
func (l *Log) PartitionOf(id model.StreamID, e *event.Event) (model.StreamID, error) {
	s, err := l.find(id)
	if err != nil {
		return "", err
	}
	return partition.Stream(id, s.choose(record.Key(e), e)), nil
}

func (l *Log) find(id model.StreamID) (*stream, error) {
	if err := l.Taken(); err != nil {
		return nil, l.explain(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.streams[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("stream %s: %w", id, log.ErrUnknown)
}

// at finds the partition that a stream's name means; -1 is all of a topic with several.
func (l *Log) at(id model.StreamID) (*stream, int32, error) {
	base, p := partition.Of(id)
	s, err := l.find(base)
	if err != nil {
		return nil, 0, err
	}
	n := s.partitions()
	switch {
	case p >= n:
		return nil, 0, fmt.Errorf("stream %s: topic %s has %d partitions: %w", id, s.topic, n, log.ErrUnknown)
	case p < 0 && n == 1:
		p = 0
	}
	return s, p, nil
}

// one is at for what needs a single order.
func (l *Log) one(id model.StreamID) (*part, error) {
	s, p, err := l.at(id)
	if err != nil {
		return nil, err
	}
	if p < 0 {
		return nil, fmt.Errorf("stream %s: topic %s has several partitions, each a stream of its own, such as %s", id, s.topic, partition.Stream(id, 0))
	}
	return s.partition(p), nil
}

// Append stores events. All are stored or none if one is too large; if Kafka fails in between, some may be.
func (l *Log) Append(ctx context.Context, id model.StreamID, events ...*event.Event) ([]log.Position, error) {
	s, p, err := l.at(id)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	positions, err := s.append(ctx, p, events)
	if err != nil {
		l.options.Metrics.failed.Inc()
		return nil, fmt.Errorf("stream %s: topic %s: %w", id, s.topic, l.explain(err))
	}
	return positions, nil
}

// Follow calls f with every record of a partition from a position on.
func (l *Log) Follow(ctx context.Context, id model.StreamID, from log.Position, f func(log.Record) error) error {
	p, err := l.one(id)
	if err != nil {
		return err
	}
	return p.follow(ctx, from, f)
}

// Get reads single records of a partition.
func (l *Log) Get(ctx context.Context, id model.StreamID, positions ...log.Position) ([]log.Record, error) {
	p, err := l.one(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	records, err := p.get(ctx, positions)
	return records, l.explain(err)
}

// At is the position of the first record of a partition stored at a time or later.
func (l *Log) At(ctx context.Context, id model.StreamID, since time.Time) (log.Position, error) {
	p, err := l.one(id)
	if err != nil {
		return 0, err
	}
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	at, err := p.since(ctx, since)
	return at, l.explain(err)
}

// Bounds are the oldest position of a partition that is kept and the next one to come.
func (l *Log) Bounds(ctx context.Context, id model.StreamID) (oldest, next log.Position, err error) {
	p, err := l.one(id)
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	oldest, next, err = p.bounds(ctx)
	return oldest, next, l.explain(err)
}
