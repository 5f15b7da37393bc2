package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"golang.org/x/sync/errgroup"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// The paths of the pages about events, below which come NAMESPACE/NAME and a page. `ebb events` reads them.
const (
	// BrokersPath leads to "events" (?last=N), "events/POSITION" or "events/PARTITION/POSITION", and "follow" (?last=N), which answers with JSON
	// lines that do not end.
	BrokersPath = "/events/brokers/"
	// TriggersPath leads to all Triggers (?namespace=), and for one of them to "dead" (?all=true, ?position=N) and, with POST, "redrive"
	// (?position=N) and "replay" (?from=, ?to=, ?partition=, ?dryRun=true). ?full=true adds whole events to what is listed.
	TriggersPath = "/events/triggers/"
	// TracePath says where an event is and went: ?id=, ?source=, ?namespace=, ?since= (a time, or how long ago).
	TracePath = "/events/trace"
)

// Stored is an event as the log has it.
type Stored struct {
	// Partition is that of the topic of a Broker of class Kafka: positions are the partition's then, Kafka's offsets and one.
	Partition *int32       `json:"partition,omitempty"`
	Position  log.Position `json:"position"`
	Stored    time.Time    `json:"stored"`
	Type      string       `json:"type"`
	Source    string       `json:"source"`
	ID        string       `json:"id"`
	// Bytes is the size of the data.
	Bytes int `json:"bytes"`
	// Event is the whole in CloudEvents' JSON format, where it was asked for.
	Event json.RawMessage `json:"event,omitempty"`
}

// TriggerState is how far a Trigger has come. Counts are since the broker process began.
type TriggerState struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Partition is the one that this is about, of a Trigger that reads a Kafka topic with several.
	Partition *int32 `json:"partition,omitempty"`
	Matched   uint64 `json:"matched"`
	Delivered uint64 `json:"delivered"`
	Retried   uint64 `json:"retried"`
	// Dead were given up: they went to the dead letter sink, or to the Trigger's own list (DeadKept of them).
	Dead     uint64 `json:"dead"`
	DeadKept uint64 `json:"deadKept"`
	// Lag is how many events it has still to get; of those it has not looked at, the share that passed so far.
	Lag int `json:"lag"`
	// Waiting says that nothing is delivered: the Trigger is paused, as Paused says, or has no subscriber.
	Waiting     bool       `json:"waiting,omitempty"`
	Paused      bool       `json:"paused,omitempty"`
	Oldest      *time.Time `json:"oldest,omitempty"`
	NextAttempt *time.Time `json:"nextAttempt,omitempty"`
	FailedAt    *time.Time `json:"failedAt,omitempty"`
	// FailedStatus is 0 if the attempt that failed last had no answer.
	FailedStatus int    `json:"failedStatus,omitempty"`
	FailedText   string `json:"failedText,omitempty"`
}

// readers is the dispatcher, as far as these pages need it.
type readers interface {
	Snapshot() []dispatch.Reader
	Backlog(id model.ReaderID) (pending int, perSecond float64)
}

// eventPages show events and give dead ones back.
type eventPages struct {
	log     log.Log
	streams ingress.Streams
	readers readers
	replays replays
	fates   fates
	// all are all streams there are; partitions are the streams of one that has several orders, and may be nil.
	all        func() []model.Stream
	partitions func(model.StreamID) ([]model.StreamID, error)
	accept     func(ctx context.Context, stream model.StreamID, events ...*event.Event) error
	now        func() time.Time
	logger     *slog.Logger
	// look is the pause between two looks for partitions that who follows a topic does not know yet.
	look time.Duration

	// redriving is held while dead events are given back, so that two who ask give none back twice.
	redriving sync.Mutex
	// searching is held while all streams are searched: one such search at a time is enough.
	searching sync.Mutex
	// closing ends those who follow when the server shuts down: it waits for requests, and they would not end.
	closing  chan struct{}
	register sync.Once
}

func (p *process) events() *eventPages {
	return &eventPages{
		log: p.placed, streams: p.streams, readers: p.dispatcher, replays: p.dispatcher, fates: p.dispatcher, all: p.streams.All, partitions: p.placed.Partitions, accept: p.accept, now: time.Now, logger: p.Log,
		look: lookForPartitions, closing: make(chan struct{}),
	}
}

func (p *eventPages) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+BrokersPath+"{namespace}/{name}/events", p.page(p.list))
	mux.HandleFunc("GET "+BrokersPath+"{namespace}/{name}/events/{position...}", p.page(p.show))
	mux.HandleFunc("GET "+BrokersPath+"{namespace}/{name}/follow", p.follow)
	mux.HandleFunc("GET "+TracePath, p.page(p.trace))
	mux.HandleFunc("GET "+TriggersPath+"{$}", p.page(p.triggers))
	mux.HandleFunc("GET "+TriggersPath+"{namespace}/{name}/dead", p.page(p.dead))
	mux.HandleFunc("POST "+TriggersPath+"{namespace}/{name}/redrive", p.page(p.redrive))
	mux.HandleFunc("POST "+TriggersPath+"{namespace}/{name}/replay", p.replay)
}

// badRequest is a request that says what cannot be; absent is one for what is not there.
type (
	badRequest struct{ error }
	absent     struct{ error }
)

// page answers with what f returns, as JSON.
func (p *eventPages) page(f func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			p.logger.Warn("page of events not written", "path", r.URL.Path, "error", err)
		}
	}
}

func fail(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	if _, ok := errors.AsType[badRequest](err); ok {
		code = http.StatusBadRequest
	} else if _, ok := errors.AsType[absent](err); ok || errors.Is(err, log.ErrUnknown) {
		code = http.StatusNotFound
	} else if errors.Is(err, log.ErrUnavailable) || errors.Is(err, log.ErrFull) {
		code = http.StatusServiceUnavailable
	}
	http.Error(w, err.Error(), code)
}

func keyIn(r *http.Request) model.Key {
	return model.Key{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
}

// number reads a query's number, which may be left out.
func number(r *http.Request, name string, otherwise, most uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, badRequest{fmt.Errorf("%s=%s: must be a number from 0 to %d", name, text, most)}
	}
	return n, nil
}

func flag(r *http.Request, name string) bool { return r.URL.Query().Get(name) == "true" }

func (p *eventPages) broker(key model.Key) (model.StreamID, error) {
	s, ok := p.streams.Broker(key)
	if !ok {
		return "", absent{fmt.Errorf("Broker %s takes no events here; see: ebb kubectl get brokers -A", key)}
	}
	return s.ID, nil
}

// lookForPartitions is how often who follows a topic looks for new ones.
const lookForPartitions = 5 * time.Second

// The most events that one page has, and how many it has unless it is told.
const (
	lastMost  = 1000
	lastUsual = 20
)

func (p *eventPages) list(r *http.Request) (any, error) {
	stream, err := p.broker(keyIn(r))
	if err != nil {
		return nil, err
	}
	last, err := number(r, "last", lastUsual, lastMost)
	if err != nil {
		return nil, err
	}
	all, err := p.orders(stream)
	if err != nil {
		return nil, fmt.Errorf("read Broker %s: %w", keyIn(r), err)
	}
	records, _, err := p.lastOf(r.Context(), all, int(last))
	if err != nil {
		return nil, fmt.Errorf("read Broker %s: %w", keyIn(r), err)
	}
	out := make([]Stored, 0, len(records))
	for _, record := range records {
		s, err := stored(record.Record, record.partition, flag(r, "full"))
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// last reads the last n records that an order keeps, and says which position comes next.
func (p *eventPages) last(ctx context.Context, stream model.StreamID, n int) (records []log.Record, next log.Position, err error) {
	oldest, next, err := p.log.Bounds(ctx, stream)
	if err != nil {
		return nil, 0, err
	}
	// Positions have gaps: what a batch lacks, the one before it may have.
	for end := next; len(records) < n && end > oldest; {
		begin := max(oldest, end-min(end, log.Position(n-len(records))))
		batch, err := p.log.Get(ctx, stream, positions(begin, end)...)
		if err != nil {
			return nil, 0, err
		}
		records, end = append(batch, records...), begin
	}
	return records, next, nil
}

// positions are those from begin on, without end.
func positions(begin, end log.Position) []log.Position {
	out := make([]log.Position, 0, end-min(begin, end))
	for at := begin; at < end; at++ {
		out = append(out, at)
	}
	return out
}

func (p *eventPages) show(r *http.Request) (any, error) {
	key := keyIn(r)
	stream, err := p.broker(key)
	if err != nil {
		return nil, err
	}
	of, at, err := ParsePlace(r.PathValue("position"))
	if err != nil || at == 0 {
		return nil, badRequest{fmt.Errorf("position %s: must be a number from 1, or PARTITION/POSITION", r.PathValue("position"))}
	}
	in, err := p.order(stream, of, "position "+r.PathValue("position"))
	if err != nil {
		return nil, err
	}
	records, err := p.log.Get(r.Context(), in.stream, at)
	if err != nil {
		return nil, fmt.Errorf("read Broker %s: %w", key, err)
	}
	if len(records) == 0 {
		return nil, absent{fmt.Errorf("Broker %s keeps no event at position %s; see: ebb events list %s -n %s", key, PlaceOf(in.partition, at), key.Name, key.Namespace)}
	}
	return whole(records[0].Event)
}

// follow writes a line of JSON for each event, whole, from now on or from the last few on.
func (p *eventPages) follow(w http.ResponseWriter, r *http.Request) {
	all, records, next, err := p.beginning(r)
	if err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	p.endWithServer(ctx, cancel)
	w.Header().Set("Content-Type", "application/x-ndjson")
	control, encoder := http.NewResponseController(w), json.NewEncoder(w)
	line := func(record placedRecord) error {
		s, err := stored(record.Record, record.partition, true)
		if err != nil {
			return err
		}
		if err := encoder.Encode(s); err != nil {
			return err
		}
		return control.Flush()
	}
	for _, record := range records {
		if err := line(record); err != nil {
			return
		}
	}
	if err := control.Flush(); err != nil {
		return
	}
	look := time.NewTicker(p.look)
	defer look.Stop()
	if err := p.followAll(ctx, all, next, look.C, line); err != nil && ctx.Err() == nil {
		p.logger.Warn("events not followed any more", "broker", keyIn(r), "error", err)
	}
}

// followAll calls f with what each order gets from a position on, one record at a time, until one of them ends. Partitions that a topic is
// given meanwhile, which is looked for whenever look says so, are followed from their first event on.
func (p *eventPages) followAll(ctx context.Context, all []order, next []log.Position, look <-chan time.Time, f func(placedRecord) error) error {
	var one sync.Mutex
	work, ctx := errgroup.WithContext(ctx)
	follow := func(o order, from log.Position) {
		work.Go(func() error {
			return p.log.Follow(ctx, o.stream, from, func(record log.Record) error {
				one.Lock()
				defer one.Unlock()
				return f(placedRecord{record, o.partition})
			})
		})
	}
	for i, o := range all {
		follow(o, next[i])
	}
	if all[0].partition != nil {
		base, _ := partition.Of(all[0].stream)
		work.Go(func() error {
			for known := len(all); ; {
				select {
				case <-ctx.Done():
					return nil
				case <-look:
				}
				now, err := p.orders(base)
				if err != nil {
					continue // who follows the partitions there are says what is wrong
				}
				for ; known < len(now); known++ {
					follow(now[known], 1)
				}
			}
		})
	}
	return work.Wait()
}

// beginning is what a follower reads and gets at first, and the positions it goes on from.
func (p *eventPages) beginning(r *http.Request) (all []order, records []placedRecord, next []log.Position, err error) {
	stream, err := p.broker(keyIn(r))
	if err != nil {
		return nil, nil, nil, err
	}
	last, err := number(r, "last", 0, lastMost)
	if err != nil {
		return nil, nil, nil, err
	}
	if all, err = p.orders(stream); err != nil {
		return nil, nil, nil, err
	}
	records, next, err = p.lastOf(r.Context(), all, int(last))
	return all, records, next, err
}

// endWithServer calls end when the server that serves this request begins to shut down.
func (p *eventPages) endWithServer(ctx context.Context, end func()) {
	if server, ok := ctx.Value(http.ServerContextKey).(*http.Server); ok {
		p.register.Do(func() { server.RegisterOnShutdown(sync.OnceFunc(func() { close(p.closing) })) })
	}
	go func() {
		select {
		case <-p.closing:
			end()
		case <-ctx.Done():
		}
	}()
}

func (p *eventPages) triggers(r *http.Request) (any, error) {
	namespace, out := r.URL.Query().Get("namespace"), []TriggerState{}
	for _, reader := range p.readers.Snapshot() {
		if reader.Kind != model.Trigger || namespace != "" && reader.Key.Namespace != namespace {
			continue
		}
		lag, _ := p.readers.Backlog(reader.ID)
		var part *int32
		if _, n := partition.Of(reader.ID); n >= 0 {
			part = &n
		}
		out = append(out, TriggerState{
			Namespace: reader.Key.Namespace, Name: reader.Key.Name, Partition: part, Matched: reader.Matched, Delivered: reader.Delivered, Retried: reader.Retried,
			Dead: reader.DeadSink + reader.DeadKept, DeadKept: reader.DeadKept, Lag: lag, Waiting: reader.Paused || reader.Nowhere, Paused: reader.Paused,
			Oldest: moment(reader.Oldest), NextAttempt: moment(reader.NextAttempt),
			FailedAt: moment(reader.FailedAt), FailedStatus: reader.FailedStatus, FailedText: reader.FailedText,
		})
	}
	slices.SortFunc(out, func(a, b TriggerState) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(number32(a.Partition), number32(b.Partition)))
	})
	return out, nil
}

// number32 is a partition's number; -1 for none.
func number32(n *int32) int32 {
	if n == nil {
		return -1
	}
	return *n
}

// moment is a time, or nil for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// stored describes a record of a partition, if its stream has any, with the event itself if it is to be whole.
func stored(record log.Record, of *int32, full bool) (Stored, error) {
	e := record.Event
	s := Stored{Partition: of, Position: record.Position, Stored: record.Stored, Type: e.Type(), Source: e.Source(), ID: e.ID(), Bytes: len(e.Data())}
	if !full {
		return s, nil
	}
	var err error
	s.Event, err = whole(e)
	return s, err
}

// whole is an event in CloudEvents' JSON format.
func whole(e *event.Event) (json.RawMessage, error) {
	b, err := json.Marshal(e)
	if err != nil {
		// Data may call itself JSON and be none.
		raw := *e
		raw.DataBase64 = true
		b, err = json.Marshal(&raw)
	}
	if err != nil {
		return nil, fmt.Errorf("event %s of %s as JSON: %w", e.ID(), e.Source(), err)
	}
	return b, nil
}

// everyPosition bounds nothing.
const everyPosition = math.MaxUint64
