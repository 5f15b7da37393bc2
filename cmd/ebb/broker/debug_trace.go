package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/trace"
)

// Trace is where an event is and went.
type Trace struct {
	ID     string `json:"id"`
	Source string `json:"source,omitempty"`
	// Stored are the places that have it, by when they stored it: events of that id, of the source asked for if one was.
	Stored []Sighting `json:"stored"`
	// Related are other events of the same traces, such as replies to it.
	Related []Related `json:"related"`
	// Searched is how many events were looked at, Streams in how many Brokers and Channels.
	Searched uint64 `json:"searched"`
	Streams  int    `json:"streams"`
	// Incomplete says why something may be missing; empty if nothing is.
	Incomplete []string `json:"incomplete,omitempty"`
}

// Sighting is a place where an event is stored.
type Sighting struct {
	Place
	Stored
	// Trace is the id of the trace it belongs to.
	Trace string `json:"trace,omitempty"`
	// Readers are what has become of it at each Trigger or Subscription there.
	Readers []ReaderFate `json:"readers"`
}

// Place is a Broker or a Channel.
type Place struct {
	Kind      model.Kind `json:"kind"`
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
}

// Related is another event of the same trace.
type Related struct {
	Place
	Stored
	Trace string `json:"trace"`
}

// ReaderFate is what has become of an event at a Trigger or a Subscription.
type ReaderFate struct {
	Kind      model.Kind `json:"kind"`
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	// State is one of dispatch's; a filter is the one that the reader has now.
	State dispatch.State `json:"state"`
	// Subscriber is where it goes.
	Subscriber string `json:"subscriber,omitempty"`
	// Attempts have failed; NextAttempt is when the next one is due.
	Attempts    int        `json:"attempts,omitempty"`
	NextAttempt *time.Time `json:"nextAttempt,omitempty"`
	// Paused says that nothing is delivered now.
	Paused bool `json:"paused,omitempty"`
	// At is when it was given up, To where it went then ("sink" or "list"), Code and Reason why.
	At     *time.Time `json:"at,omitempty"`
	To     string     `json:"to,omitempty"`
	Code   int        `json:"code,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

// tracedMost bounds how many events a trace shows of each sort.
const tracedMost = 100

// fates is the dispatcher, as far as traces need it.
type fates interface {
	Fate(id model.ReaderID, record log.Record) (dispatch.Fate, bool)
}

// searched is one stream to search.
type searched struct {
	Place
	order
}

func (p *eventPages) trace(r *http.Request) (any, error) {
	query := r.URL.Query()
	out := &Trace{ID: query.Get("id"), Source: query.Get("source"), Stored: []Sighting{}, Related: []Related{}}
	if out.ID == "" {
		return nil, badRequest{errors.New("id: is missing; give that of an event")}
	}
	since := time.Time{}
	if text := query.Get("since"); text != "" {
		at, err := parsePlace("since", text)
		if err != nil {
			return nil, err
		}
		if at.exact {
			return nil, badRequest{fmt.Errorf("since=%s: must be a time such as 2026-01-02T15:04:05Z, or how long ago, such as 90m", text)}
		}
		since = at.time(p.now())
	}
	p.searching.Lock()
	defer p.searching.Unlock()
	places := p.places(query.Get("namespace"), out)
	out.Streams = len(places)
	if err := p.sight(r.Context(), out, places, since); err != nil {
		return nil, err
	}
	if err := p.relate(r.Context(), out, places); err != nil {
		return nil, err
	}
	return out, nil
}

// places are all Brokers and Channels of a namespace, or of all.
func (p *eventPages) places(namespace string, out *Trace) []searched {
	var places []searched
	for _, s := range p.all() {
		if namespace != "" && s.Key.Namespace != namespace {
			continue
		}
		at := Place{Kind: s.Kind, Namespace: s.Key.Namespace, Name: s.Key.Name}
		all, err := p.orders(s.ID)
		if err != nil {
			out.Incomplete = append(out.Incomplete, fmt.Sprintf("%s %s: %v", s.Kind, s.Key, err))
			continue
		}
		for _, o := range all {
			places = append(places, searched{at, o})
		}
	}
	slices.SortFunc(places, func(a, b searched) int { return cmp.Compare(a.stream, b.stream) })
	return places
}

// search calls f with what every place stored since a time.
func (p *eventPages) search(ctx context.Context, out *Trace, places []searched, since time.Time, f func(searched, log.Record) error) error {
	for _, at := range places {
		from, err := log.Position(0), error(nil)
		if !since.IsZero() {
			from, err = p.log.At(ctx, at.stream, since)
		}
		if err == nil {
			err = log.Scan(ctx, p.log, at.stream, from, everyPosition, func(record log.Record) error { return f(at, record) })
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errTracedMost):
			return err
		case err != nil:
			// One place that cannot be read says nothing about the others.
			out.Incomplete = append(out.Incomplete, fmt.Sprintf("%s %s/%s: %v", at.Kind, at.Namespace, at.Name, err))
		}
	}
	return nil
}

// errTracedMost ends a search that has found enough.
var errTracedMost = errors.New("enough is found")

// sight finds where the event is.
func (p *eventPages) sight(ctx context.Context, out *Trace, places []searched, since time.Time) error {
	err := p.search(ctx, out, places, since, func(at searched, record log.Record) error {
		out.Searched++
		e := record.Event
		if e.ID() != out.ID || out.Source != "" && e.Source() != out.Source {
			return nil
		}
		s, err := stored(record, at.partition, false)
		if err != nil {
			return err
		}
		readers, err := p.fatesOf(ctx, at.stream, record)
		if err != nil {
			return err
		}
		out.Stored = append(out.Stored, Sighting{Place: at.Place, Stored: s, Trace: trace.Of(e).ID(), Readers: readers})
		return enough(len(out.Stored))
	})
	if errors.Is(err, errTracedMost) {
		out.Incomplete = append(out.Incomplete, fmt.Sprintf("only the first %d places are shown", tracedMost))
		err = nil
	}
	slices.SortStableFunc(out.Stored, func(a, b Sighting) int { return a.Stored.Stored.Compare(b.Stored.Stored) })
	return err
}

func enough(found int) error {
	if found >= tracedMost {
		return errTracedMost
	}
	return nil
}

// relate finds other events of the traces that the event belongs to, stored since it first was.
func (p *eventPages) relate(ctx context.Context, out *Trace, places []searched) error {
	traces := map[string]bool{}
	for _, s := range out.Stored {
		if s.Trace != "" {
			traces[s.Trace] = true
		}
	}
	if len(traces) == 0 {
		return nil
	}
	err := p.search(ctx, out, places, out.Stored[0].Stored.Stored, func(at searched, record log.Record) error {
		id := trace.Of(record.Event).ID()
		if !traces[id] || record.Event.ID() == out.ID && (out.Source == "" || record.Event.Source() == out.Source) {
			return nil
		}
		s, err := stored(record, at.partition, false)
		if err != nil {
			return err
		}
		out.Related = append(out.Related, Related{Place: at.Place, Stored: s, Trace: id})
		return enough(len(out.Related))
	})
	if errors.Is(err, errTracedMost) {
		out.Incomplete = append(out.Incomplete, fmt.Sprintf("only the first %d events of the same trace are shown", tracedMost))
		err = nil
	}
	slices.SortStableFunc(out.Related, func(a, b Related) int { return a.Stored.Stored.Compare(b.Stored.Stored) })
	return err
}

// fatesOf says what has become of a record at each reader of its stream.
func (p *eventPages) fatesOf(ctx context.Context, stream model.StreamID, record log.Record) ([]ReaderFate, error) {
	out := []ReaderFate{}
	for _, reader := range p.readers.Snapshot() {
		if reader.Stream != stream {
			continue
		}
		fate, ok := p.fates.Fate(reader.ID, record)
		if !ok {
			continue
		}
		if fate.State == dispatch.Done {
			var err error
			if fate, err = p.recall(ctx, reader, record.Event); err != nil {
				return nil, deadList(reader.Key, err)
			}
		}
		out = append(out, ReaderFate{
			Kind: reader.Kind, Namespace: reader.Key.Namespace, Name: reader.Key.Name, State: fate.State, Subscriber: reader.Subscriber,
			Attempts: fate.Failed, NextAttempt: moment(fate.Next), Paused: reader.Paused || reader.Nowhere,
			At: moment(fate.At), To: fate.To, Code: fate.Code, Reason: fate.Reason,
		})
	}
	slices.SortFunc(out, func(a, b ReaderFate) int {
		return slices.Compare([]string{string(a.Kind), a.Namespace, a.Name}, []string{string(b.Kind), b.Namespace, b.Name})
	})
	return out, nil
}

// recall finds out how an event ended that ended before this process began, or long ago: it is on the reader's list of dead events, or it was
// taken, unless there is a dead letter sink that may have it.
func (p *eventPages) recall(ctx context.Context, reader dispatch.Reader, e *event.Event) (dispatch.Fate, error) {
	fate := dispatch.Fate{State: dispatch.Taken}
	if reader.DeadLetter != "" {
		fate.State = dispatch.Done
	}
	err := p.eachDead(ctx, reader.ID, func(record log.Record) error {
		if record.Event.ID() != e.ID() || record.Event.Source() != e.Source() {
			return nil
		}
		dead, err := deadEvent(record, false)
		fate = dispatch.Fate{State: dispatch.Dead, At: record.Stored, To: dispatch.ToList, Code: dead.Code, Reason: dead.Reason}
		return err
	})
	return fate, err
}
