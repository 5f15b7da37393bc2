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
)

// Replay is how far a replay has come, or what became of it.
type Replay struct {
	Trigger string `json:"trigger"`
	// Partition is the one that this is about, of a Broker that is a topic of Kafka; Partitions is how many are replayed, one after the other.
	Partition  *int32 `json:"partition,omitempty"`
	Partitions int    `json:"partitions,omitempty"`
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
	// Ended says that this is the last word, about its partition if there are several; Interrupted why the range is not done with.
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

// ranged is a Trigger's reader and the positions that are to be replayed to it.
type ranged struct {
	partOf
	from, to log.Position
}

// replay delivers a range of a Trigger's Broker to the Trigger again: ?from= and ?to= are positions or times, ?dryRun=true delivers nothing. It
// answers with JSON lines of how far it is, the last of which has ended. Whoever asks and goes away ends it.
func (p *eventPages) replay(w http.ResponseWriter, r *http.Request) {
	ranges, err := p.replayed(r)
	if err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	p.endWithServer(ctx, func() { cancel(errEnds) })
	control, encoder := http.NewResponseController(w), json.NewEncoder(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	said := false
	say := func(out Replay) {
		if out.Partition != nil {
			out.Partitions = len(ranges)
		}
		said = true
		// One that nobody reads is ended by its context.
		if err := encoder.Encode(out); err == nil {
			_ = control.Flush()
		}
	}
	for _, one := range ranges {
		last, err := p.replayOne(ctx, one, flag(r, "dryRun"), say)
		switch {
		case err != nil && !said:
			fail(w, err)
			return
		case err != nil:
			// What was begun with another partition has an answer already.
			last = Replay{Trigger: one.Key.String(), Partition: one.partition, From: one.from, To: one.to, Next: one.from, Ended: true, Interrupted: err.Error()}
		}
		say(last)
		if last.Interrupted != "" {
			return
		}
	}
}

// replayOne replays one range. An error says that it could not begin.
func (p *eventPages) replayOne(ctx context.Context, one ranged, dry bool, say func(Replay)) (last Replay, err error) {
	describe := func(n dispatch.Replayed) Replay { return describeReplay(one.partOf, n, dry) }
	var events []Stored
	var done dispatch.Replayed
	if dry {
		done, err = p.replays.Preview(ctx, one.ID, one.from, one.to, func(record log.Record) error {
			if len(events) < previewMost {
				s, err := stored(record, one.partition, false)
				events = append(events, s)
				return err
			}
			return nil
		})
	} else {
		p.logger.Info("replay begun", "trigger", one.Key, "stream", one.stream, "from", one.from, "to", one.to)
		done, err = p.replays.Replay(ctx, one.ID, one.from, one.to, progressEvery, func(n dispatch.Replayed) { say(describe(n)) })
		p.logger.Info("replay ended", "trigger", one.Key, "stream", one.stream, "next", done.Next, "delivered", done.Delivered, "dead", done.Dead, "error", err)
	}
	if err != nil && done.Next == 0 || errors.Is(err, dispatch.ErrReplaying) || errors.Is(err, dispatch.ErrHalted) {
		return Replay{}, refusedReplay(one.Key, err)
	}
	last = describe(done)
	last.Ended, last.Events = true, events
	if err != nil {
		last.Interrupted = err.Error()
	}
	return last, nil
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

// replayed reads which Trigger a request is for, and which ranges: one, or with times one in each partition.
func (p *eventPages) replayed(r *http.Request) ([]ranged, error) {
	key := keyIn(r)
	parts, err := p.partsOf(key)
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	if query.Get("from") == "" {
		return nil, badRequest{errors.New("from: is missing; give a position, a time such as 2026-01-02T15:04:05Z, or how long ago, such as 90m")}
	}
	begin, err := parsePlace("from", query.Get("from"))
	if err != nil {
		return nil, err
	}
	end, err := parsePlace("to", cmp.Or(query.Get("to"), strconv.FormatUint(everyPosition, 10)))
	if err != nil {
		return nil, err
	}
	if parts, err = replayedParts(r, parts, begin, end); err != nil {
		return nil, err
	}
	var out []ranged
	for _, part := range parts {
		from, to, err := p.rangeIn(r.Context(), part.stream, begin, end)
		if err != nil {
			return nil, fmt.Errorf("find the range in the Broker of Trigger %s: %w", key, err)
		}
		out = append(out, ranged{part, from, to})
	}
	return out, nil
}

// replayedParts are the readers whose partitions a request names, in ?partition= or in its places; all if it names none and has but times.
func replayedParts(r *http.Request, parts []partOf, begin, end place) ([]partOf, error) {
	of, err := partitionIn(r)
	if err != nil {
		return nil, err
	}
	query := r.URL.Query()
	for _, where := range []struct {
		name string
		place
	}{{"from", begin}, {"to", end}} {
		switch {
		case where.partition == nil:
		case of == nil:
			of = where.partition
		case *of != *where.partition:
			return nil, badRequest{fmt.Errorf("%s=%s: another one names partition %d: a range is in one partition", where.name, query.Get(where.name), *of)}
		}
	}
	exact := begin.exact || end.exact && query.Get("to") != ""
	if of == nil && len(parts) > 1 && exact {
		return nil, badRequest{fmt.Errorf("from=%s: the Broker is a topic of %d partitions, each with positions of its own: write PARTITION/POSITION, such as 0/17, name one with --partition, or give times",
			query.Get("from"), len(parts))}
	}
	return among(parts, of, "from="+query.Get("from"))
}

// rangeIn is a range in one order, both ends included.
func (p *eventPages) rangeIn(ctx context.Context, stream model.StreamID, begin, end place) (from, to log.Position, err error) {
	if from, err = p.at(ctx, stream, begin, 0); err != nil {
		return 0, 0, err
	}
	// What was stored at that very time is in the range.
	to, err = p.at(ctx, stream, end, time.Nanosecond)
	if !end.exact {
		to = max(to, 1) - 1
	}
	return from, to, err
}

// place is where a range begins or ends: a position if exact, a time if dated, otherwise how long ago.
type place struct {
	exact, dated bool
	// partition is that of a position that names one.
	partition *int32
	position  log.Position
	at        time.Time
	ago       time.Duration
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
	if of, n, err := ParsePlace(text); err == nil {
		return place{exact: true, partition: of, position: n}, nil
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

func describeReplay(of partOf, n dispatch.Replayed, dry bool) Replay {
	out := Replay{
		Trigger: of.Key.String(), Partition: of.partition, From: n.From, To: n.To, Next: n.Next, Matched: n.Matched, Delivered: n.Delivered, Retried: n.Retried,
		Dead: n.Dead, DeadKept: n.DeadKept, Lost: n.Lost, DryRun: dry,
	}
	if n.From > n.Asked {
		out.NotKept = uint64(n.From - n.Asked)
	}
	return out
}
