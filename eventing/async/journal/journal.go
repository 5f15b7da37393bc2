package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/eventing/async/request"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

const (
	// Stream is the journal's, and the only one that is no Broker's or Channel's.
	Stream model.StreamID = "async"
	reader model.ReaderID = "async"
	// headBytes is room for a record and headers, beside a body.
	headBytes = 1 << 20
	// slack is how many bytes may be kept that nobody wants, besides as many as are wanted.
	slack = 32 << 20
	// cacheBytes bounds the messages that are kept in memory.
	cacheBytes = 64 << 20
	// tick is how often it is looked at what is not wanted any more.
	tick = time.Second
)

// ErrUnknown says that there is no such request, or not any more.
var ErrUnknown = errors.New("no such request")

// Options say where the journal is.
type Options struct {
	Log log.Log
	// Bytes bounds what is wanted at once; the stream may have a multiple of it.
	Bytes  int64
	Logger *slog.Logger
}

// Journal keeps requests. Its methods may be called at the same time; of one request, one at a time.
type Journal struct {
	options Options

	mu     sync.Mutex
	places places
	cache  *cache
	// kept is the position up to which nothing is wanted, as it is stored.
	kept log.Position
	next log.Position
	// pending are appends under way, each with the least position that it can get.
	pending map[*step]log.Position
}

// Open finds what is stored, and calls f with every record of it in its latest version.
func Open(ctx context.Context, o Options, f func(request.Record)) (*Journal, error) {
	j := &Journal{options: o, places: places{byID: map[string]*place{}}, cache: newCache(cacheBytes), pending: map[*step]log.Position{}}
	err := o.Log.Ensure(ctx, model.Stream{
		ID: Stream, Kind: "Async",
		// What is not wanted any more is read, and goes soon. What is wanted is bounded by who accepts requests, so that what becomes of them
		// can always be stored.
		Limits: model.Limits{Age: time.Minute, Bytes: slack, Unread: 4*o.Bytes + 4*slack, Event: async.MaxBytes + headBytes},
	})
	if err != nil {
		return nil, fmt.Errorf("journal of requests: %w", err)
	}
	latest, err := j.replay(ctx)
	if err != nil {
		return nil, fmt.Errorf("journal of requests: %w", err)
	}
	// The first time, too, so that nothing is dropped before it was looked at.
	if err := o.Log.Keep(ctx, Stream, reader, j.kept, nil); err != nil {
		return nil, fmt.Errorf("journal of requests: %w", err)
	}
	for _, r := range latest {
		f(r)
	}
	return j, nil
}

// replay reads everything that is stored.
func (j *Journal) replay(ctx context.Context) (map[string]request.Record, error) {
	latest := map[string]request.Record{}
	oldest, next, err := j.options.Log.Bounds(ctx, Stream)
	if err != nil {
		return nil, err
	}
	j.next = next
	if oldest > 0 {
		j.kept = oldest - 1
	}
	if oldest >= next {
		return latest, nil
	}
	enough := errors.New("everything is read")
	err = j.options.Log.Follow(ctx, Stream, oldest, func(r log.Record) error {
		s, err := decode(r.Event)
		if err != nil {
			// One that cannot be read is not to keep the others from being answered.
			j.options.Logger.Error("stored step of a request not read", "position", r.Position, "error", err)
		} else {
			j.places.add(s, r.Position, int64(len(r.Event.DataEncoded)))
			if old, known := latest[s.Record.ID]; !known || s.Record.Version >= old.Version {
				latest[s.Record.ID] = s.Record
			}
		}
		if r.Position+1 >= next {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		return nil, err
	}
	return latest, nil
}

// Accept stores a new request.
func (j *Journal) Accept(ctx context.Context, r request.Record, m Message) error {
	return j.append(ctx, step{Record: r, Request: &m})
}

// Change stores a request's next record; an answer that is kept is kept on.
func (j *Journal) Change(ctx context.Context, r request.Record) error {
	return j.append(ctx, step{Record: r})
}

// Finish stores a request's next record and its answer.
func (j *Journal) Finish(ctx context.Context, r request.Record, answer Message) error {
	return j.append(ctx, step{Record: r, Answer: &answer})
}

func (j *Journal) append(ctx context.Context, s step) error {
	e, err := encode(s)
	if err != nil {
		return err
	}
	return j.store(ctx, s, e, func(here *place) bool { return true })
}

// store appends a step's event and takes note of where it lies, if its place is as it should be.
func (j *Journal) store(ctx context.Context, s step, e *event.Event, still func(*place) bool) error {
	j.mu.Lock()
	j.pending[&s] = j.next
	j.mu.Unlock()
	positions, err := j.options.Log.Append(ctx, Stream, e)
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.pending, &s)
	if err != nil {
		return fmt.Errorf("request %s: %w", s.Record.ID, err)
	}
	j.next = max(j.next, positions[0]+1)
	if !still(j.places.byID[s.Record.ID]) {
		return nil
	}
	j.places.add(s, positions[0], int64(len(e.DataEncoded)))
	if m := s.message(); m != nil {
		j.cache.put(positions[0], m)
	}
	return nil
}

// Request returns the stored request.
func (j *Journal) Request(ctx context.Context, id string) (Message, error) {
	return j.read(ctx, id, func(p *place) spot { return p.request })
}

// Answer returns the stored answer.
func (j *Journal) Answer(ctx context.Context, id string) (Message, error) {
	return j.read(ctx, id, func(p *place) spot { return p.answer })
}

func (j *Journal) read(ctx context.Context, id string, part func(*place) spot) (Message, error) {
	for try := 0; ; try++ {
		j.mu.Lock()
		here, known := j.places.byID[id]
		if !known || part(here).at == 0 {
			j.mu.Unlock()
			return Message{}, fmt.Errorf("request %s: %w", id, ErrUnknown)
		}
		at := part(here).at
		m := j.cache.get(at)
		j.mu.Unlock()
		if m != nil {
			return *m, nil
		}
		records, err := j.options.Log.Get(ctx, Stream, at)
		if err != nil {
			return Message{}, fmt.Errorf("request %s: %w", id, err)
		}
		if len(records) == 0 {
			if try < 3 {
				continue // it was appended again meanwhile
			}
			return Message{}, fmt.Errorf("request %s: position %d is not kept: %w", id, at, log.ErrUnavailable)
		}
		s, err := decode(records[0].Event)
		if err != nil || s.message() == nil {
			return Message{}, fmt.Errorf("request %s: position %d: %w", id, at, errCorrupt)
		}
		return *s.message(), nil
	}
}

// Done says that a request's headers and body are not needed for now.
func (j *Journal) Done(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if here, known := j.places.byID[id]; known {
		j.cache.drop(here.request.at)
	}
}

// Forget drops a request.
func (j *Journal) Forget(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if here, known := j.places.byID[id]; known {
		for _, s := range here.wanted() {
			j.cache.drop(s.at)
		}
		j.places.drop(id)
	}
}

// Bytes is how many are wanted.
func (j *Journal) Bytes() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.places.live
}

// Run lets go what nobody wants, until the context ends. current returns a request's record as it is stored now.
func (j *Journal) Run(ctx context.Context, current func(id string) (request.Record, bool)) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := errors.Join(j.move(ctx, current), j.release(ctx)); err != nil && ctx.Err() == nil {
			j.options.Logger.Error("journal of requests not tidied", "error", err)
		}
	}
}

// release tells the log up to where nothing is wanted.
func (j *Journal) release(ctx context.Context) error {
	j.mu.Lock()
	read := j.next - 1
	if first := j.places.first(); first != nil {
		read = first.oldest.at - 1
	}
	for _, least := range j.pending {
		read = min(read, least-1)
	}
	kept := j.kept
	j.mu.Unlock()
	if read <= kept {
		return nil
	}
	if err := j.options.Log.Keep(ctx, Stream, reader, read, nil); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kept = read
	return nil
}

// move appends the oldest again while more than half of what is kept is not wanted.
func (j *Journal) move(ctx context.Context, current func(string) (request.Record, bool)) error {
	for {
		j.mu.Lock()
		here := j.places.first()
		crowded := here != nil && j.places.span() > 2*j.places.live+slack
		var id string
		if crowded {
			id = here.id
		}
		j.mu.Unlock()
		if !crowded {
			return nil
		}
		record, known := current(id)
		if !known {
			j.Forget(id)
			continue
		}
		if err := j.again(ctx, here, record); err != nil && !errors.Is(err, ErrUnknown) {
			return err
		}
	}
}

// again appends what is wanted of one request: the request first, then the record with the answer.
func (j *Journal) again(ctx context.Context, here *place, r request.Record) error {
	var steps []step
	j.mu.Lock()
	withRequest, withAnswer := needs(r, here), here.answer.at != 0
	j.mu.Unlock()
	if withRequest {
		m, err := j.Request(ctx, r.ID)
		if err != nil {
			return err
		}
		steps = append(steps, step{Record: r, Request: &m})
	}
	if withAnswer {
		m, err := j.Answer(ctx, r.ID)
		if err != nil {
			return err
		}
		steps = append(steps, step{Record: r, Answer: &m})
	}
	if len(steps) == 0 {
		steps = append(steps, step{Record: r})
	}
	for _, s := range steps {
		// One at a time: together they may be more than one commit takes.
		e, err := encode(s)
		if err != nil {
			return err
		}
		if err := j.store(ctx, s, e, func(now *place) bool { return now == here }); err != nil {
			return err
		}
	}
	return nil
}
