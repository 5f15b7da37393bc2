package kafka

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"ebb.dev/ebb/eventing/kafka/topic"
	"ebb.dev/ebb/eventing/log"
)

// part is one order of events.
type part struct {
	stream *stream
	n      int32
	tail   *tail
	rest   rest
}

func (p *part) page(ctx context.Context, offset int64, most int32) (page, error) {
	return p.stream.log.page(ctx, p.stream.topic, p.n, offset, most)
}

func (p *part) bounds(ctx context.Context) (oldest, next log.Position, err error) {
	l := p.stream.log
	first, err := l.offset(ctx, p.stream.topic, p.n, topic.Earliest)
	if err != nil {
		return 0, 0, err
	}
	last, err := l.offset(ctx, p.stream.topic, p.n, topic.Latest)
	return positionOf(first), positionOf(last), err
}

func (p *part) since(ctx context.Context, at time.Time) (log.Position, error) {
	millis := at.UnixMilli()
	if at.Nanosecond()%int(time.Millisecond) != 0 {
		// Kafka keeps milliseconds: what was stored in this one is earlier.
		millis++
	}
	if millis < 0 {
		millis = topic.Earliest
	}
	offset, err := p.stream.log.offset(ctx, p.stream.topic, p.n, millis)
	if err != nil || offset >= 0 {
		return positionOf(offset), err
	}
	offset, err = p.stream.log.offset(ctx, p.stream.topic, p.n, topic.Latest)
	return positionOf(offset), err
}

// getBytes is how much is asked for to read a single record; Kafka sends at least the batch that it is in.
const getBytes = 64 << 10

// get reads single records. What one fetch brought serves the positions that follow.
func (p *part) get(ctx context.Context, positions []log.Position) ([]log.Record, error) {
	var out []log.Record
	var got page
	from := int64(-1)
	for _, position := range positions {
		offset := offsetOf(position)
		if from < 0 || offset < from || offset >= got.next {
			var err error
			got, err = p.page(ctx, offset, getBytes)
			if errors.Is(err, kerr.OffsetOutOfRange) {
				from = -1
				continue
			}
			if err != nil {
				return nil, err
			}
			from = offset
		}
		i := sort.Search(len(got.records), func(i int) bool { return got.records[i].Offset >= offset })
		if i < len(got.records) && got.records[i].Offset == offset {
			out = append(out, p.stream.decode(got.records[i:i+1])...)
		}
	}
	return out, nil
}

// follow calls f with every record from a position on: from pages while it is behind, from the tail at the end.
func (p *part) follow(ctx context.Context, from log.Position, f func(log.Record) error) (err error) {
	l, offset, joined := p.stream.log, offsetOf(from), false
	defer func() {
		if joined {
			p.tail.leave()
		}
	}()
	for {
		records, next, changed := p.tail.read(offset)
		switch {
		case !joined && changed != nil:
			// The tail is somebody else's, who may leave.
			joined = p.tail.join(offset, joined)
			continue
		case changed != nil:
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			case <-p.stream.removed:
				return fmt.Errorf("stream %s: %w", p.stream.id, log.ErrUnknown)
			case <-l.ctx.Done():
				return fmt.Errorf("follow topic %s: %w: %w", p.stream.topic, log.ErrUnavailable, l.ended())
			}
			continue
		case next == offset:
			if next, err = p.catchUp(ctx, offset, f); err != nil {
				return err
			}
			if next == offset {
				joined = p.tail.join(offset, joined)
			}
		default:
			if err := pass(ctx, records, f); err != nil {
				return err
			}
		}
		offset = next
	}
}

// decodeAtOnce is how many records are decoded before the first of them is handed on.
const decodeAtOnce = 64

// catchUp hands a page to a follower; next is the offset itself at the end. What an error of f left of the page is kept for who goes on there.
func (p *part) catchUp(ctx context.Context, offset int64, f func(log.Record) error) (next int64, err error) {
	got, has := p.rest.take(p.stream.log, offset)
	if !has {
		if got, err = p.read(ctx, offset); err != nil {
			return 0, err
		}
	}
	for rest := got.records; len(rest) > 0; {
		n := min(len(rest), decodeAtOnce)
		at := rest[0].Offset
		err := pass(ctx, p.stream.decode(rest[:n]), func(r log.Record) error {
			at = offsetOf(r.Position)
			return f(r)
		})
		if err != nil {
			p.rest.put(p.stream.log, at, got)
			return 0, err
		}
		rest = rest[n:]
	}
	return got.next, nil
}

// read reads a page for a follower.
func (p *part) read(ctx context.Context, offset int64) (page, error) {
	bounded, cancel := p.stream.log.bounded(ctx)
	defer cancel()
	got, err := p.page(bounded, offset, pageBytes)
	if errors.Is(err, kerr.OffsetOutOfRange) {
		got.next, err = p.inRange(bounded, offset)
	}
	switch {
	case ctx.Err() != nil:
		return page{}, ctx.Err()
	case p.stream.gone():
		// Whatever Kafka said was about a topic that is being deleted.
		return page{}, fmt.Errorf("stream %s: %w", p.stream.id, log.ErrUnknown)
	case err != nil:
		return page{}, fmt.Errorf("follow topic %s: %w", p.stream.topic, p.stream.log.explain(err))
	}
	return got, nil
}

// inRange is where to go on from an offset that is not kept.
func (p *part) inRange(ctx context.Context, offset int64) (int64, error) {
	oldest, next, err := p.bounds(ctx)
	if err != nil {
		return 0, err
	}
	l := p.stream.log.options.Logger
	if offset < offsetOf(oldest) {
		if offset > 0 {
			l.Warn("records were dropped by the topic's retention before they were read", "topic", p.stream.topic, "partition", p.n,
				"from", offset, "to", offsetOf(oldest))
		}
		return offsetOf(oldest), nil
	}
	l.Error("topic has lost its end", "topic", p.stream.topic, "partition", p.n, "expected", offset, "end", offsetOf(next))
	p.tail.truncated(offsetOf(next))
	return offsetOf(next), nil
}

func pass(ctx context.Context, records []log.Record, f func(log.Record) error) error {
	for _, r := range records {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}
