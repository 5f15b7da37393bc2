package jetstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// commitBytes is how many bytes of events one commit gathers; a single Append may bring more.
const commitBytes = 1 << 20

// parallelPages bounds the memory of readers that are behind: as many pages are read at once.
const parallelPages = 16

// What a stream says of itself in JetStream, so that a restart finds it.
const (
	metadataStream = "ebb.dev/stream"
	metadataLimits = "ebb.dev/limits"
)

// Options say where the log is and what it promises.
type Options struct {
	// Dir is the folder of an embedded server. It is made if need be, and locked.
	Dir string
	// URL is an external server's, instead of Dir; several are separated by commas. Whether it syncs is then its own configuration
	// (sync_interval: always).
	URL string
	// Connect adds credentials and the like for an external server.
	Connect []nats.Option
	// Replicas is how many servers of an external cluster have each stream; 1 by default.
	Replicas int
	// Name prefixes streams and subjects; "ebb" by default.
	Name string
	// Relaxed returns from Append when the operating system has the event, not when the disk has: a crash of the machine loses what was
	// accepted in the last SyncInterval.
	Relaxed bool
	// SyncInterval is how often a relaxed log syncs; a second by default.
	SyncInterval time.Duration
	// Defaults stand in for limits that a stream leaves at zero, but for Dedupe.
	Defaults model.Limits
	// Timeout bounds one request to JetStream; 5 seconds by default.
	Timeout time.Duration
	// Sweep is how often streams are looked through for what is not needed any more; 10 seconds by default.
	Sweep time.Duration
	// Notify hears of levels, and of what is about to be dropped, before it is. It must not block.
	Notify func(Notice)
	// Metrics takes the log's metrics; nil for none.
	Metrics prometheus.Registerer
	Logger  *slog.Logger
	Now     func() time.Time
}

// DefaultLimits are those of a stream when neither it nor Options name others.
var DefaultLimits = model.Limits{Age: 24 * time.Hour, Bytes: 1 << 30, Unread: 1 << 30, Event: 1 << 20}

func (o Options) withDefaults() (Options, error) {
	if (o.Dir == "") == (o.URL == "") {
		return o, errors.New("event log: name either a folder or the URL of a NATS server")
	}
	o.Replicas = max(o.Replicas, 1)
	if o.Name == "" {
		o.Name = "ebb"
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Sweep <= 0 {
		o.Sweep = 10 * time.Second
	}
	if o.SyncInterval <= 0 {
		o.SyncInterval = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Defaults = withDefaults(o.Defaults, DefaultLimits)
	return o, nil
}

func withDefaults(l, d model.Limits) model.Limits {
	pick := func(v, d int64) int64 {
		if v > 0 {
			return v
		}
		return d
	}
	l.Age = time.Duration(pick(int64(l.Age), int64(d.Age)))
	l.Bytes, l.Unread, l.Event = pick(l.Bytes, d.Bytes), pick(l.Unread, d.Unread), pick(l.Event, d.Event)
	return l
}

// Log is an event log on JetStream. It is the only one to write to its streams: open it once.
type Log struct {
	options  Options
	embedded *embedded
	store    *store
	readers  *readers
	metrics  *metrics
	// largest is how many bytes of events one commit can have.
	largest int

	// ctx ends when the log is closed.
	ctx    context.Context
	cancel context.CancelFunc
	swept  chan struct{}

	// open is held for reading by everything that writes, so that Close waits for it.
	open   sync.RWMutex
	closed bool

	mu      sync.Mutex
	streams map[model.StreamID]*stream
}

var _ log.Log = (*Log)(nil)

// Open starts or connects to the server and finds the streams there.
func Open(ctx context.Context, o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{options: o, metrics: newMetrics(nil), swept: make(chan struct{}), streams: make(map[model.StreamID]*stream)}
	if err := l.connect(); err != nil {
		l.disconnect()
		return nil, err
	}
	if err := l.restore(ctx); err != nil {
		l.disconnect()
		return nil, err
	}
	l.metrics = newMetrics(o.Metrics)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	go l.sweep()
	return l, nil
}

func (l *Log) connect() error {
	l.store = &store{timeout: l.options.Timeout, shared: l.options.URL != "", pages: make(chan struct{}, parallelPages)}
	var err error
	if l.options.Dir != "" {
		if l.embedded, err = startEmbedded(l.options); err != nil {
			return err
		}
	}
	if l.store.write, err = connect(l.options, l.embedded, l.options.Name+" writer"); err != nil {
		return err
	}
	if l.store.read, err = connect(l.options, l.embedded, l.options.Name+" reader"); err != nil {
		return err
	}
	if l.store.js, err = js.New(l.store.read, js.WithDefaultTimeout(l.options.Timeout)); err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	// The server's own limit, less what a commit adds to its events.
	l.largest = int(l.store.write.MaxPayload()) * 9 / 10
	return nil
}

func (l *Log) disconnect() {
	for _, c := range []*nats.Conn{l.store.write, l.store.read} {
		if c != nil {
			c.Close()
		}
	}
	if l.embedded != nil {
		l.embedded.stop()
	}
}

// restore finds the streams and the readers that there are.
func (l *Log) restore(ctx context.Context) error {
	journal := l.options.Name + "_readers"
	l.readers = newReaders(l.store, journal, l.options.Name+".readers")
	if err := l.store.ensure(ctx, l.config(journal, l.readers.subject, nil)); err != nil {
		return err
	}
	if err := l.readers.load(ctx); err != nil {
		return fmt.Errorf("positions of readers: %w", err)
	}
	list := l.store.js.ListStreams(ctx, js.WithStreamListSubject(l.subject("*")))
	for info := range list.Info() {
		id, ok := info.Config.Metadata[metadataStream]
		if !ok {
			continue
		}
		var limits model.Limits
		if err := json.Unmarshal([]byte(info.Config.Metadata[metadataLimits]), &limits); err != nil {
			return fmt.Errorf("limits of stream %s: %w", id, err)
		}
		l.streams[model.StreamID(id)] = newStream(l, model.StreamID(id), limits)
	}
	if err := list.Err(); err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	return l.forgetOrphans(ctx)
}

// forgetOrphans drops readers of streams whose removal was cut short.
func (l *Log) forgetOrphans(ctx context.Context) error {
	for _, id := range l.readers.known() {
		if l.streams[id] != nil {
			continue
		}
		if err := l.readers.change(ctx, &entry{kind: entryForgetAll, stream: id}); err != nil {
			return fmt.Errorf("forget the readers of stream %s, which is gone: %w", id, err)
		}
	}
	return nil
}

// Close waits for what is being stored, ends whoever follows and stops the embedded server.
func (l *Log) Close() error {
	l.open.Lock()
	defer l.open.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.cancel()
	<-l.swept
	l.disconnect()
	return nil
}

// begin keeps the log open until the function it returns is called.
func (l *Log) begin() (func(), error) {
	l.open.RLock()
	if l.closed {
		l.open.RUnlock()
		return nil, fmt.Errorf("%w: it is closed", log.ErrUnavailable)
	}
	return l.open.RUnlock, nil
}

// streamName is a stream's name in JetStream: readable, and unique by what it ends with.
func (l *Log) streamName(id model.StreamID) string {
	readable := strings.Map(func(r rune) rune {
		if r == '-' || (r >= '0' && r <= '9') || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') {
			return r
		}
		return '_'
	}, string(id))
	sum := sha256.Sum256([]byte(id))
	return l.options.Name + "_" + readable[:min(len(readable), 60)] + "_" + hex.EncodeToString(sum[:8])
}

func (l *Log) subject(stream string) string { return l.options.Name + ".events." + stream }

func (l *Log) config(name, subject string, metadata map[string]string) js.StreamConfig {
	return js.StreamConfig{
		Name: name, Subjects: []string{subject}, Metadata: metadata, Replicas: l.options.Replicas,
		Storage: js.FileStorage, Retention: js.LimitsPolicy, Discard: js.DiscardNew, AllowDirect: true,
		MaxBytes: -1, MaxMsgs: -1, MaxConsumers: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
	}
}

// Ensure makes a stream, or changes its limits.
func (l *Log) Ensure(ctx context.Context, m model.Stream) error {
	end, err := l.begin()
	if err != nil {
		return err
	}
	defer end()
	limits := withDefaults(m.Limits, l.options.Defaults)
	l.mu.Lock()
	s := l.streams[m.ID]
	l.mu.Unlock()
	if s != nil && s.currentLimits() == limits {
		return nil
	}
	encoded, err := json.Marshal(limits)
	if err != nil {
		return fmt.Errorf("limits of stream %s: %w", m.ID, err)
	}
	name := l.streamName(m.ID)
	metadata := map[string]string{metadataStream: string(m.ID), metadataLimits: string(encoded)}
	if err := l.store.ensure(ctx, l.config(name, l.subject(name), metadata)); err != nil {
		return fmt.Errorf("stream %s: %w", m.ID, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s = l.streams[m.ID]; s == nil {
		l.streams[m.ID] = newStream(l, m.ID, limits)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = limits
	return nil
}

// Remove drops a stream, its readers and everything in it.
func (l *Log) Remove(ctx context.Context, id model.StreamID) error {
	end, err := l.begin()
	if err != nil {
		return err
	}
	defer end()
	l.mu.Lock()
	s := l.streams[id]
	delete(l.streams, id)
	l.mu.Unlock()
	if s != nil {
		s.remove()
	}
	l.metrics.unread.DeleteLabelValues(string(id))
	if err := l.store.remove(ctx, l.streamName(id)); err != nil {
		return fmt.Errorf("stream %s: %w", id, err)
	}
	if _, any := l.readers.slowest(id); !any {
		return nil
	}
	return l.readers.change(ctx, &entry{kind: entryForgetAll, stream: id})
}

func (l *Log) find(id model.StreamID) (*stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.streams[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("stream %s: %w", id, log.ErrUnknown)
}

// Append stores events; those that come at the same time share one sync.
func (l *Log) Append(ctx context.Context, id model.StreamID, events ...*event.Event) ([]log.Position, error) {
	end, err := l.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	s, err := l.find(id)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return s.append(ctx, events)
}

// Follow calls f with every record from a position on.
func (l *Log) Follow(ctx context.Context, id model.StreamID, from log.Position, f func(log.Record) error) error {
	s, err := l.find(id)
	if err != nil {
		return err
	}
	return s.follow(ctx, from, f)
}

// Get reads single records.
func (l *Log) Get(ctx context.Context, id model.StreamID, positions ...log.Position) ([]log.Record, error) {
	s, err := l.find(id)
	if err != nil {
		return nil, err
	}
	return s.records(ctx, positions)
}

// At is the position of the first record stored at a time or later.
func (l *Log) At(ctx context.Context, id model.StreamID, since time.Time) (log.Position, error) {
	s, err := l.find(id)
	if err != nil {
		return 0, err
	}
	if err := s.load(ctx); err != nil {
		return 0, err
	}
	tail, head := s.bounds()
	c, err := s.seek(ctx, tail.seq, head.seq, func(c *commit) bool { return !c.stored.Before(since) })
	if err != nil || c == nil {
		return head.next, err
	}
	return c.first, nil
}

// Bounds are the oldest position that is kept and the next one to come.
func (l *Log) Bounds(ctx context.Context, id model.StreamID) (oldest, next log.Position, err error) {
	s, err := l.find(id)
	if err != nil {
		return 0, 0, err
	}
	if err := s.load(ctx); err != nil {
		return 0, 0, err
	}
	tail, head := s.bounds()
	return tail.next, head.next, nil
}

// Keep stores a reader's state; those that come at the same time share one sync.
func (l *Log) Keep(ctx context.Context, id model.StreamID, reader model.ReaderID, read log.Position, state []byte) error {
	end, err := l.begin()
	if err != nil {
		return err
	}
	defer end()
	if _, err := l.find(id); err != nil {
		return err
	}
	if len(state) > l.largest {
		return fmt.Errorf("state of reader %s of stream %s: %w: %d bytes, %d are possible", reader, id, log.ErrTooLarge, len(state), l.largest)
	}
	// The caller may go on with its own before this is written.
	own := append(make([]byte, 0, len(state)), state...)
	return l.readers.change(ctx, &entry{kind: entryKeep, stream: id, reader: reader, read: read, state: own})
}

// Kept returns what was kept last.
func (l *Log) Kept(ctx context.Context, id model.StreamID, reader model.ReaderID) ([]byte, error) {
	if _, err := l.find(id); err != nil {
		return nil, err
	}
	return l.readers.kept(ctx, id, reader)
}

// Forget drops a reader.
func (l *Log) Forget(ctx context.Context, id model.StreamID, reader model.ReaderID) error {
	end, err := l.begin()
	if err != nil {
		return err
	}
	defer end()
	if _, err := l.find(id); err != nil {
		return err
	}
	return l.readers.change(ctx, &entry{kind: entryForget, stream: id, reader: reader})
}
