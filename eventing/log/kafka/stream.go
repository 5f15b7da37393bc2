package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"

	"ebb.dev/ebb/eventing/kafka/record"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// stream is a topic.
type stream struct {
	log   *Log
	id    model.StreamID
	topic string
	// removed is closed when the stream is gone.
	removed chan struct{}
	known   *known

	// load is held while the window is filled from the topic, which loaded ends.
	load   sync.Mutex
	loaded bool

	mu       sync.Mutex
	external bool
	limits   model.Limits
	parts    []*part
}

func newStream(l *Log, id model.StreamID, kept keptStream) *stream {
	s := &stream{log: l, id: id, topic: kept.Topic, removed: make(chan struct{}), known: newKnown(kept.Limits.Dedupe)}
	s.change(kept)
	return s
}

// change takes over what was kept anew. Partitions are only ever added to a topic.
func (s *stream) change(kept keptStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.external, s.limits = kept.External, kept.Limits
	for n := int32(len(s.parts)); n < kept.Partitions; n++ {
		s.parts = append(s.parts, &part{stream: s, n: n, tail: s.log.tails.tail(s, n)})
	}
	s.known.resize(kept.Limits.Dedupe)
}

// remove ends whoever follows.
func (s *stream) remove() {
	close(s.removed)
	s.log.tails.drop(s.topic)
}

// gone reports whether the stream was removed.
func (s *stream) gone() bool {
	select {
	case <-s.removed:
		return true
	default:
		return false
	}
}

func (s *stream) isExternal() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.external
}

func (s *stream) partitions() int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int32(len(s.parts))
}

func (s *stream) partition(n int32) *part {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts[n]
}

func (s *stream) currentLimits() model.Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits
}

// chooser is how Kafka's own clients choose a partition for a key. It has no state for records that have one.
var chooser = kgo.StickyKeyPartitioner(nil).ForTopic("")

// choose is the partition of an event whose key, if any, is given.
func (s *stream) choose(key []byte, e *event.Event) int32 {
	if key == nil {
		key = []byte(e.Source() + "\x00" + e.ID())
	}
	return int32(chooser.Partition(&kgo.Record{Key: key}, int(s.partitions())))
}

// append stores events in a partition, or where each belongs for -1.
func (s *stream) append(ctx context.Context, to int32, events []*event.Event) ([]log.Position, error) {
	limits, now := s.currentLimits(), s.log.options.Now()
	records := make([]*kgo.Record, len(events))
	for i, e := range events {
		if limits.Event > 0 && int64(len(e.DataEncoded)) > limits.Event {
			return nil, fmt.Errorf("event %s of %s: %w: %d bytes, %d are taken", e.ID(), e.Source(), log.ErrTooLarge, len(e.DataEncoded), limits.Event)
		}
		r, err := record.Binary(e)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", log.ErrInvalid, err)
		}
		r.Topic, r.Partition, r.Timestamp = s.topic, to, now
		if to < 0 {
			r.Partition = s.choose(r.Key, e)
		}
		records[i] = r
	}
	if err := s.fill(ctx, limits.Dedupe, now); err != nil {
		return nil, err
	}
	positions, waits := make([]log.Position, len(events)), make([]*attempt, len(events))
	for i, e := range events {
		key := log.IdentityOf(e)
		var fresh bool
		if positions[i], waits[i], fresh = s.known.claim(key, now); fresh {
			s.send(records[i], key, waits[i])
		}
	}
	for i, a := range waits {
		if a == nil {
			continue
		}
		select {
		case <-a.done:
			if a.err != nil {
				return nil, a.err
			}
			positions[i] = a.position
		case <-s.removed:
			return nil, log.ErrUnknown
		case <-ctx.Done():
			return nil, fmt.Errorf("Kafka has not confirmed it, and may store it yet: %w", ctx.Err())
		}
	}
	return positions, nil
}

// send hands a record to the producer, whose context is the log's: who asked may go away, and must not take others' records along. It never
// waits: where too much is on its way already, the attempt fails at once.
func (s *stream) send(r *kgo.Record, key log.Identity, a *attempt) {
	p := s.partition(r.Partition)
	s.log.client.TryProduce(s.log.ctx, r, func(r *kgo.Record, err error) {
		s.known.settle(key, a, positionOf(r.Offset), err, r.Timestamp)
		if err == nil {
			p.tail.appended(r)
		}
	})
}

// fillMost bounds how many offsets of a partition are read to learn what it has.
const fillMost = 50_000

// fill reads, once, the events that the topic got within the window for duplicates.
func (s *stream) fill(ctx context.Context, span time.Duration, now time.Time) error {
	s.load.Lock()
	defer s.load.Unlock()
	if s.loaded || span <= 0 {
		return nil
	}
	for n := range s.partitions() {
		p := s.partition(n)
		_, next, err := p.bounds(ctx)
		if err != nil {
			return err
		}
		from, err := p.since(ctx, now.Add(-span))
		if err != nil {
			return err
		}
		end := offsetOf(next)
		for offset := max(offsetOf(from), end-fillMost); offset < end; {
			got, err := s.log.page(ctx, s.topic, n, offset, pageBytes)
			if err != nil {
				return err
			}
			for _, r := range got.records {
				if e, err := record.Event(r); err == nil {
					s.known.remember(log.IdentityOf(e), positionOf(r.Offset), r.Timestamp)
				}
			}
			if got.next <= offset {
				break
			}
			offset = got.next
		}
	}
	s.loaded = true
	return nil
}

// decode reads what is in records, passing over what is none.
func (s *stream) decode(records []*kgo.Record) []log.Record {
	out := make([]log.Record, 0, len(records))
	for _, r := range records {
		e, err := record.Event(r)
		if err != nil {
			s.log.options.Metrics.skipped.WithLabelValues(s.topic).Inc()
			if !errors.Is(err, record.ErrPlain) {
				s.log.options.Logger.Warn("record passed over", "topic", s.topic, "partition", r.Partition, "offset", r.Offset, "error", err)
			} else {
				s.log.options.Logger.Debug("record passed over", "topic", s.topic, "partition", r.Partition, "offset", r.Offset, "error", err)
			}
			continue
		}
		out = append(out, log.Record{Position: positionOf(r.Offset), Stored: r.Timestamp, Event: e})
	}
	return out
}

func positionOf(offset int64) log.Position { return log.Position(offset + 1) }

func offsetOf(p log.Position) int64 { return int64(max(p, 1)) - 1 }
