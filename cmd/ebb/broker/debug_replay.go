package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// Replay is how far a replay has come, or what became of it.
type Replay struct {
	Trigger string `json:"trigger"`
	// From and To are the positions it is about, both included, as far as the Broker keeps them; there is nothing in it if From is after To.
	From log.Position `json:"from"`
	To   log.Position `json:"to"`
	// NotKept is how many positions that were asked for are not kept any more.
	NotKept uint64 `json:"notKept,omitempty"`
	// Next is where to go on: everything before it is done with.
	Next log.Position `json:"next"`
	// Matched passed the Trigger's filter; with DryRun nothing more was done.
	Matched   uint64 `json:"matched"`
	Delivered uint64 `json:"delivered"`
	Retried   uint64 `json:"retried"`
	// Dead were given up: they went to the dead letter sink, or to the Trigger's own list (DeadKept of them).
	Dead     uint64 `json:"dead"`
	DeadKept uint64 `json:"deadKept"`
	// Lost were dropped by the Broker before their turn came.
	Lost   uint64 `json:"lost,omitempty"`
	DryRun bool   `json:"dryRun,omitempty"`
	// Ended says that this is the last word; Interrupted why the range is not done with.
	Ended       bool   `json:"ended"`
	Interrupted string `json:"interrupted,omitempty"`
	// Events are those that a dry run found, the first few.
	Events []Stored `json:"events,omitempty"`
}

const (
	// progressEvery is how often a replay says how far it is.
	progressEvery = time.Second
	// previewMost is how many events a dry run shows.
	previewMost = 1000
)

// replays is the dispatcher, as far as replays need it.
type replays interface {
	Replay(ctx context.Context, id model.ReaderID, from, to log.Position, every time.Duration, progress func(dispatch.Replayed)) (dispatch.Replayed, error)
	Preview(ctx context.Context, id model.ReaderID, from, to log.Position, f func(log.Record) error) (dispatch.Replayed, error)
}

// replay delivers a range of a Trigger's Broker to the Trigger again: ?from= and ?to= are positions or times, ?dryRun=true delivers nothing. It
// answers with JSON lines of how far it is, the last of which has ended. Whoever asks and goes away ends it.
func (p *eventPages) replay(w http.ResponseWriter, r *http.Request) {
	reader, from, to, err := p.replayed(r)
	if err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	p.endWithServer(ctx, func() { cancel(errEnds) })
	dry := flag(r, "dryRun")
	control, encoder := http.NewResponseController(w), json.NewEncoder(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	say := func(out Replay) {
		// One that nobody reads is ended by its context.
		if err := encoder.Encode(out); err == nil {
			_ = control.Flush()
		}
	}
	describe := func(n dispatch.Replayed) Replay { return describeReplay(reader.Key, n, dry) }
	var events []Stored
	var done dispatch.Replayed
	if dry {
		done, err = p.replays.Preview(ctx, reader.ID, from, to, func(record log.Record) error {
			if len(events) < previewMost {
				s, err := stored(record, false)
				events = append(events, s)
				return err
			}
			return nil
		})
	} else {
		p.logger.Info("replay begun", "trigger", reader.Key, "stream", reader.Stream, "from", from, "to", to)
		done, err = p.replays.Replay(ctx, reader.ID, from, to, progressEvery, func(n dispatch.Replayed) { say(describe(n)) })
		p.logger.Info("replay ended", "trigger", reader.Key, "stream", reader.Stream, "next", done.Next, "delivered", done.Delivered, "dead", done.Dead, "error", err)
	}
	if err != nil && done.Next == 0 || errors.Is(err, dispatch.ErrReplaying) || errors.Is(err, dispatch.ErrHalted) {
		fail(w, refusedReplay(reader.Key, err))
		return
	}
	last := describe(done)
	last.Ended, last.Events = true, events
	if err != nil {
		last.Interrupted = err.Error()
	}
	say(last)
}

// errEnds ends what is under way as the server shuts down.
var errEnds = errors.New("the event broker stops")

// refusedReplay says what to do about a replay that cannot begin.
func refusedReplay(key model.Key, err error) error {
	switch {
	case errors.Is(err, dispatch.ErrHalted):
		return badRequest{fmt.Errorf("Trigger %s delivers nothing: it is paused, or has no subscriber; see: ebb events triggers -n %s", key, key.Namespace)}
	case errors.Is(err, dispatch.ErrReplaying):
		return badRequest{fmt.Errorf("Trigger %s is being replayed already; wait for that, or end it where it was begun", key)}
	}
	return fmt.Errorf("replay to Trigger %s: %w", key, err)
}

// replayed reads which Trigger a request is for, and which range.
func (p *eventPages) replayed(r *http.Request) (reader dispatch.Reader, from, to log.Position, err error) {
	key := keyIn(r)
	if reader, err = p.part(r, key); err != nil {
		return reader, 0, 0, err
	}
	query := r.URL.Query()
	if query.Get("from") == "" {
		return reader, 0, 0, badRequest{errors.New("from: is missing; give a position, a time such as 2026-01-02T15:04:05Z, or how long ago, such as 90m")}
	}
	begin, err := parsePlace("from", query.Get("from"))
	if err != nil {
		return reader, 0, 0, err
	}
	end, err := parsePlace("to", cmp.Or(query.Get("to"), strconv.FormatUint(everyPosition, 10)))
	if err != nil {
		return reader, 0, 0, err
	}
	if from, err = p.at(r.Context(), reader.Stream, begin, 0); err == nil {
		// What was stored at that very time is in the range.
		to, err = p.at(r.Context(), reader.Stream, end, time.Nanosecond)
		if !end.exact {
			to = max(to, 1) - 1
		}
	}
	if err != nil {
		return reader, 0, 0, fmt.Errorf("find the range in the Broker of Trigger %s: %w", key, err)
	}
	return reader, from, to, nil
}

// part is the reader of a Trigger; of one that reads several partitions, that of ?partition=.
func (p *eventPages) part(r *http.Request, key model.Key) (dispatch.Reader, error) {
	reader, err := p.trigger(key)
	if _, n := partition.Of(reader.ID); err != nil || n < 0 {
		return reader, err
	}
	wanted := r.URL.Query().Get("partition")
	for _, other := range p.readers.Snapshot() {
		if _, n := partition.Of(other.ID); other.Kind == model.Trigger && other.Key == key && strconv.Itoa(int(n)) == wanted {
			return other, nil
		}
	}
	return reader, badRequest{fmt.Errorf("partition=%s: the Broker of Trigger %s is a topic of partitions, each with positions of its own; name one of them with --partition", wanted, key)}
}

// place is where a range begins or ends: a position if exact, a time if dated, otherwise how long ago.
type place struct {
	exact, dated bool
	position     log.Position
	at           time.Time
	ago          time.Duration
}

// time is when a place is that is no position.
func (w place) time(now time.Time) time.Time {
	if w.dated {
		return w.at
	}
	return now.Add(-w.ago)
}

// parsePlace reads a place.
func parsePlace(name, text string) (place, error) {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return place{exact: true, position: log.Position(n)}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return place{dated: true, at: at}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return place{ago: ago}, nil
	}
	return place{}, badRequest{fmt.Errorf("%s=%s: must be a position, a time such as 2026-01-02T15:04:05Z, or how long ago, such as 90m", name, text)}
}

// at is the position of a place; with a time, that of the first record stored then and a little later, or after it.
func (p *eventPages) at(ctx context.Context, stream model.StreamID, where place, later time.Duration) (log.Position, error) {
	if where.exact {
		return where.position, nil
	}
	return p.log.At(ctx, stream, where.time(p.now()).Add(later))
}

func describeReplay(key model.Key, n dispatch.Replayed, dry bool) Replay {
	out := Replay{
		Trigger: key.String(), From: n.From, To: n.To, Next: n.Next, Matched: n.Matched, Delivered: n.Delivered, Retried: n.Retried,
		Dead: n.Dead, DeadKept: n.DeadKept, Lost: n.Lost, DryRun: dry,
	}
	if n.From > n.Asked {
		out.NotKept = uint64(n.From - n.Asked)
	}
	return out
}
