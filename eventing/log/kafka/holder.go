package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrTaken says that another process keeps the states of the same readers since: this log is at its end.
var ErrTaken = errors.New("another event broker has taken over")

// byHeader says in each record of the topic of states who wrote it: an owner and a holder.
const byHeader = "ebb-by"

// by is the header of what this log writes.
func (s *states) by() []kgo.RecordHeader {
	o := s.log.options
	return []kgo.RecordHeader{{Key: byHeader, Value: []byte(o.Owner + blank + o.Holder)}}
}

// writer is who wrote a record; without known, a version that did not say so.
func writer(r *kgo.Record) (owner, holder string, known bool) {
	for _, h := range r.Headers {
		if h.Key == byHeader {
			return strings.Cut(string(h.Value), blank)
		}
	}
	return "", "", false
}

// void reports whether a record was written by somebody from whom its owner's states had been taken over by then. s.mu is held.
func (s *states) void(r *kgo.Record) bool {
	owner, holder, known := writer(r)
	now, held := s.holders[owner]
	return known && held && now != holder
}

// hold makes this process the one that keeps its owner's states: whoever did so before sees the record that says so, and stops. What they wrote
// before it is taken over. It returns the offset to go on from.
func (s *states) hold(ctx context.Context, offset int64) (next int64, err error) {
	o := s.log.options
	if s.holder() == o.Holder {
		return offset, nil
	}
	if _, err := s.produce(ctx, []byte(o.Holder), kindHolder+blank+o.Owner); err != nil {
		return 0, err
	}
	if next, err = s.catchUp(ctx, offset); err != nil {
		return 0, err
	}
	if s.holder() != o.Holder {
		return 0, s.taken()
	}
	return next, nil
}

// holder is who keeps the states of this log's owner.
func (s *states) holder() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holders[s.log.options.Owner]
}

func (s *states) taken() error {
	return fmt.Errorf("%w: topic %s on Kafka at %s has a newer one, and this one stops with what is there; run one event broker for a cluster",
		ErrTaken, s.topic, s.log.options.Cluster)
}

// arrived looks through what was written to the topic of states: a newer holder ends this log, and what one from before it wrote late is put
// right, lest it is all that compaction leaves.
func (s *states) arrived(records []*kgo.Record) {
	o := s.log.options
	for _, r := range records {
		kind, rest, _ := strings.Cut(string(r.Key), blank)
		if kind == kindHolder {
			if rest == o.Owner && string(r.Value) != o.Holder {
				o.Logger.Error("another event broker has taken over; this one stops with the streams on Kafka", "topic", s.topic, "kafka", o.Cluster.String())
				s.log.cancel(s.taken())
				return
			}
			continue
		}
		if owner, holder, known := writer(r); known && owner == o.Owner && holder != o.Holder {
			s.repair(string(r.Key))
		}
	}
}

// repair writes again what is known by a key.
func (s *states) repair(key string) {
	value, err := s.have(key)
	if err == nil {
		s.log.work.Go(func() {
			if _, err := s.produce(s.log.ctx, value, key); err != nil && s.log.ctx.Err() == nil {
				s.log.options.Logger.Warn("state that another event broker wrote late is not put right", "topic", s.topic, "error", err)
			}
		})
	}
}

// ended is why the log is at its end; it is closed, if nobody has taken over.
func (l *Log) ended() error {
	if err := context.Cause(l.ctx); errors.Is(err, ErrTaken) {
		return err
	}
	return errClosed
}

var errClosed = errors.New("it is being closed")

// Taken is nil, or an ErrTaken once another process has taken over.
func (l *Log) Taken() error {
	if err := context.Cause(l.ctx); errors.Is(err, ErrTaken) {
		return err
	}
	return nil
}
