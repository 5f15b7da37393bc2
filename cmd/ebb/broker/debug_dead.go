package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/eventing/dispatch/decide"
	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/partition"
)

// DeadEvent is one of a Trigger's list of events that were given up and that no dead letter sink took.
type DeadEvent struct {
	Stored
	// Destination is where the last attempt went, Code the status it got (500 for none), Reason what the answer said.
	Destination string `json:"destination"`
	Code        int    `json:"code"`
	Reason      string `json:"reason"`
	// Redriven is when it was given back last.
	Redriven *time.Time `json:"redriven,omitempty"`
}

// Redriven is what became of dead events that were to be given back.
type Redriven struct {
	Trigger string `json:"trigger"`
	// Positions are those, in the Trigger's list, of what its Broker has again.
	Positions []log.Position `json:"positions"`
	// Refused are those that it has not.
	Refused []Refusal `json:"refused,omitempty"`
}

// Refusal is why a dead event was not given back.
type Refusal struct {
	Position log.Position `json:"position"`
	Error    string       `json:"error"`
}

// A list of dead events is a stream, of which nothing is taken out. What was given back has a note at the list's end: an event that carries no
// knativeerrorcode, as every dead one does, and whose subject is the position that it is about.
const (
	noteType   = "dev.ebb.events.redriven"
	noteSource = "/ebb/events/redrive"
)

func note(at log.Position, now time.Time) *event.Event {
	e := event.New()
	e.SetType(noteType)
	e.SetSource(noteSource)
	e.SetID(strconv.FormatUint(uint64(at), 10) + "@" + strconv.FormatInt(now.UnixNano(), 10))
	e.SetSubject(strconv.FormatUint(uint64(at), 10))
	e.SetTime(now)
	return &e
}

// noted is the position that a note is about; false for dead events.
func noted(e *event.Event) (log.Position, bool) {
	if _, dead := e.Extensions()[extension.ErrorCode]; dead || e.Type() != noteType || e.Source() != noteSource {
		return 0, false
	}
	at, err := strconv.ParseUint(e.Subject(), 10, 64)
	return log.Position(at), err == nil
}

// trigger is a Trigger's reader, or one of those of its partitions: they have one list of dead events.
func (p *eventPages) trigger(key model.Key) (dispatch.Reader, error) {
	parts, err := p.partsOf(key)
	if err != nil {
		return dispatch.Reader{}, err
	}
	return parts[0].Reader, nil
}

func (p *eventPages) dead(r *http.Request) (any, error) {
	key := keyIn(r)
	reader, err := p.trigger(key)
	if err != nil {
		return nil, err
	}
	only, err := number(r, "position", 0, everyPosition)
	if err != nil {
		return nil, err
	}
	redriven, err := p.redriven(r.Context(), reader.ID)
	if err != nil {
		return nil, deadList(key, err)
	}
	out := []DeadEvent{}
	err = p.eachDead(r.Context(), reader.ID, func(record log.Record) error {
		at, was := redriven[record.Position]
		if only != 0 && record.Position != log.Position(only) || only == 0 && was && !flag(r, "all") {
			return nil
		}
		d, err := deadEvent(record, flag(r, "full"))
		d.Redriven = moment(at)
		out = append(out, d)
		return err
	})
	if err != nil {
		return nil, deadList(key, err)
	}
	if only != 0 && len(out) == 0 {
		return nil, noSuchDead(key, only)
	}
	return out, nil
}

func deadList(key model.Key, err error) error {
	return fmt.Errorf("read the dead events of Trigger %s: %w", key, err)
}

func noSuchDead(key model.Key, at uint64) error {
	return absent{fmt.Errorf("Trigger %s has no dead event at position %d; see: ebb events dead %s -n %s", key, at, key.Name, key.Namespace)}
}

func deadEvent(record log.Record, full bool) (DeadEvent, error) {
	s, err := stored(record, nil, full)
	d := DeadEvent{Stored: s}
	extensions := record.Event.Extensions()
	d.Destination, d.Reason = text(extensions[extension.ErrorDest]), text(extensions[extension.ErrorData])
	if code, ok := extension.Integer(record.Event, extension.ErrorCode); ok {
		d.Code = int(code)
	}
	return d, err
}

// text is an extension's value as one reads it; empty if there is none.
func text(value any) string {
	if value == nil {
		return ""
	}
	s, err := types.Format(value)
	if err != nil {
		return ""
	}
	return s
}

// redriven says when each dead event was given back that was.
func (p *eventPages) redriven(ctx context.Context, id model.ReaderID) (map[log.Position]time.Time, error) {
	out := map[log.Position]time.Time{}
	err := p.eachOnShelf(ctx, id, func(record log.Record) error {
		if at, ok := noted(record.Event); ok {
			out[at] = record.Stored
		}
		return nil
	})
	return out, err
}

// eachDead calls f with each dead event of a reader, in order.
func (p *eventPages) eachDead(ctx context.Context, id model.ReaderID, f func(log.Record) error) error {
	return p.eachOnShelf(ctx, id, func(record log.Record) error {
		if _, ok := noted(record.Event); ok {
			return nil
		}
		return f(record)
	})
}

// shelfBatch is how many dead events are read at once.
const shelfBatch = 64

// eachOnShelf calls f with everything in a reader's list, notes too, as far as the list goes now. A reader that never had a dead event has none.
func (p *eventPages) eachOnShelf(ctx context.Context, id model.ReaderID, f func(log.Record) error) error {
	shelf := dispatch.DeadStream(id)
	at, next, err := p.log.Bounds(ctx, shelf)
	if errors.Is(err, log.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	for at < next {
		end := min(next, at+shelfBatch)
		records, err := p.log.Get(ctx, shelf, positions(at, end)...)
		if err != nil {
			return err
		}
		for _, record := range records {
			if err := f(record); err != nil {
				return err
			}
		}
		at = end
	}
	return nil
}

// redrive gives dead events back to the Broker, as they were before they died: one, or all that were not given back yet.
func (p *eventPages) redrive(r *http.Request) (any, error) {
	key := keyIn(r)
	reader, err := p.trigger(key)
	if err != nil {
		return nil, err
	}
	only, err := number(r, "position", 0, everyPosition)
	if err != nil {
		return nil, err
	}
	p.redriving.Lock()
	defer p.redriving.Unlock()
	redriven, err := p.redriven(r.Context(), reader.ID)
	if err != nil {
		return nil, deadList(key, err)
	}
	out := Redriven{Trigger: key.String(), Positions: []log.Position{}}
	err = p.eachDead(r.Context(), reader.ID, func(record log.Record) error {
		_, was := redriven[record.Position]
		if only != 0 && record.Position != log.Position(only) || only == 0 && was {
			return nil
		}
		if err := r.Context().Err(); err != nil {
			return err
		}
		err := p.giveBack(r.Context(), reader, record)
		if err == nil {
			out.Positions = append(out.Positions, record.Position)
			return nil
		}
		out.Refused = append(out.Refused, Refusal{Position: record.Position, Error: err.Error()})
		return goOn(err)
	})
	if err != nil && len(out.Refused) == 0 {
		return nil, fmt.Errorf("give the dead events of Trigger %s back, of which %d are: %w", key, len(out.Positions), err)
	}
	if only != 0 && len(out.Positions)+len(out.Refused) == 0 {
		return nil, noSuchDead(key, only)
	}
	p.logger.Info("dead events given back", "trigger", key, "stream", reader.Stream, "events", len(out.Positions), "refused", len(out.Refused))
	return out, nil
}

// errTooSoon is for an event that its Broker would take for the one it has.
var errTooSoon = errors.New("within the Broker's window for duplicates")

// goOn is nil where the next event may fare better than the one that failed so.
func goOn(err error) error {
	for _, own := range []error{log.ErrInvalid, log.ErrTooLarge, errTooSoon} {
		if errors.Is(err, own) {
			return nil
		}
	}
	return err
}

// giveBack has the Broker take a dead event again, then notes it: ending in between, the event is given back twice, never lost.
func (p *eventPages) giveBack(ctx context.Context, reader dispatch.Reader, record log.Record) error {
	base, _ := partition.Of(reader.Stream)
	if s, ok := p.streams.Stream(base); ok {
		// It entered the Broker before it died: after this time no Broker knows it any more.
		if again := record.Stored.Add(s.Limits.Dedupe); s.Limits.Dedupe > 0 && p.now().Before(again) {
			return fmt.Errorf("%w: try again after %s", errTooSoon, again.UTC().Format(time.RFC3339))
		}
	}
	if err := p.accept(ctx, reader.Stream, decide.Revived(record.Event)); err != nil {
		return err
	}
	if _, err := p.log.Append(context.WithoutCancel(ctx), dispatch.DeadStream(reader.ID), note(record.Position, p.now())); err != nil {
		return fmt.Errorf("the Broker has it again, but that cannot be noted in the Trigger's list: %w", err)
	}
	return nil
}
