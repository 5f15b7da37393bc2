package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/window"
	"ebb.dev/ebb/eventing/model"
)

// conflicts bounds how often one commit is tried again because another process had written to the stream.
const conflicts = 5

// attributeBytes bounds the attributes of an event; the stream's own limit is that of its data.
const attributeBytes = 64 << 10

// stream is one stream of the log.
type stream struct {
	log *Log
	id  model.StreamID
	// name and subject are those in JetStream.
	name, subject string
	group         group[*appending]

	// loading is held while the stream's head is read, and by nobody else.
	loading sync.Mutex
	// dedupe is only used by the group's commits, and seen is the last message it knows.
	dedupe *window.Events
	seen   uint64

	mu     sync.Mutex
	limits model.Limits
	// loaded is false before the head is known, and after a commit of which nobody knows what became of it.
	loaded bool
	// sure is whether a commit succeeded since the head was read.
	sure bool
	// head is where the stream stands, tail where it begins; a tail without a sequence has nothing.
	head head
	tail head
	// base is the offset up to which every reader has read, when the slowest one was at baseAt; and known if it was ever looked up.
	base      uint64
	baseAt    log.Position
	baseKnown bool
	level     Level
	ring      ring
	followers int
	// changed is closed when something was appended or the stream was removed.
	changed chan struct{}
	removed bool
}

// head is a place in a stream: the last message that is known, and what the next one begins with. For a tail, it is the first message, its
// own position, offset and time.
type head struct {
	seq    uint64
	next   log.Position
	offset uint64
	stored time.Time
}

// appending is what one Append asks for.
type appending struct {
	events    [][]byte
	keys      []log.Identity
	positions []log.Position
	// mark asks for a commit even if it has no events.
	mark bool
}

func newStream(l *Log, id model.StreamID, limits model.Limits) *stream {
	s := &stream{log: l, id: id, name: l.streamName(id), limits: limits, changed: make(chan struct{})}
	s.subject = l.subject(s.name)
	s.group = group[*appending]{commit: s.commit, limit: commitBytes}
	return s
}

// encodeAll encodes what one Append brings; the group may wait for it, so nothing of the events is shared.
func (s *stream) encodeAll(events []*event.Event) (*appending, int, error) {
	limits := s.currentLimits()
	a := &appending{events: make([][]byte, len(events)), positions: make([]log.Position, len(events))}
	if limits.Dedupe > 0 {
		a.keys = make([]log.Identity, len(events))
	}
	size := 0
	for i, e := range events {
		b, err := encodeEvent(make([]byte, 0, 256+len(e.DataEncoded)), e)
		if err != nil {
			return nil, 0, err
		}
		if data := len(e.DataEncoded); int64(data) > limits.Event || len(b)-data > attributeBytes {
			return nil, 0, fmt.Errorf("%w: event %s has %d bytes and %d of attributes, the stream takes %d and %d", log.ErrTooLarge, e.ID(), data, len(b)-data, limits.Event, attributeBytes)
		}
		if a.keys != nil {
			a.keys[i] = log.IdentityOf(e)
		}
		a.events[i] = b
		size += len(b)
	}
	if size > s.log.largest {
		return nil, 0, fmt.Errorf("%w: %d events of together %d bytes, one commit takes %d; send fewer at a time", log.ErrTooLarge, len(events), size, s.log.largest)
	}
	return a, size, nil
}

func (s *stream) currentLimits() model.Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits
}

func (s *stream) append(ctx context.Context, events []*event.Event) ([]log.Position, error) {
	a, size, err := s.encodeAll(events)
	if err != nil {
		return nil, err
	}
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	if err := s.admit(ctx, uint64(size)); err != nil {
		return nil, err
	}
	if err := s.group.do(ctx, a, size); err != nil {
		return nil, err
	}
	return a.positions, nil
}

// commit stores what several Appends bring as one message.
func (s *stream) commit(requests []*request[*appending]) {
	// Callers come and go; a commit is for all of them.
	ctx, cancel := context.WithTimeout(s.log.ctx, s.log.options.Timeout)
	defer cancel()
	err := errConflict
	for try := 0; errors.Is(err, errConflict) && try < conflicts; try++ {
		err = s.try(ctx, requests)
	}
	if errors.Is(err, errConflict) {
		err = fmt.Errorf("%w: %w", log.ErrUnavailable, err)
	}
	for _, r := range requests {
		r.err = err
	}
}

func (s *stream) try(ctx context.Context, requests []*request[*appending]) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	if err := s.loadDedupe(ctx); err != nil {
		return err
	}
	c := s.assemble(requests)
	marks := slices.ContainsFunc(requests, func(r *request[*appending]) bool { return r.value.mark })
	if len(c.events) == 0 && !marks {
		return nil
	}
	return s.publish(c)
}

// publish stores a commit behind the head, and lets everybody see it.
func (s *stream) publish(c *commit) error {
	began := s.log.options.Now()
	data := c.encode()
	last, sure := s.last()
	seq, err := s.log.store.publish(s.subject, last, sure, data)
	if err != nil {
		// It may have been stored: the next one reads anew where the stream stands.
		s.forgetHead()
		return err
	}
	c.seq = seq
	s.log.metrics.commit(len(c.events), len(data), s.log.options.Now().Sub(began))
	if s.dedupe != nil {
		remember(s.dedupe, c)
		s.seen = seq
	}
	s.advance(c)
	return nil
}

func (s *stream) last() (seq uint64, sure bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head.seq, s.sure
}

// assemble gives every event its position: the one it has, if the stream has it already.
func (s *stream) assemble(requests []*request[*appending]) *commit {
	s.mu.Lock()
	c := &commit{first: s.head.next, offset: s.head.offset, stored: s.log.options.Now()}
	if c.stored.Before(s.head.stored) {
		c.stored = s.head.stored
	}
	s.mu.Unlock()
	var own map[log.Identity]log.Position
	for _, r := range requests {
		for i, b := range r.value.events {
			if s.dedupe != nil && r.value.keys != nil {
				key := r.value.keys[i]
				if p, ok := s.dedupe.Find(key, c.stored); ok {
					r.value.positions[i] = p
					s.log.metrics.duplicates.Inc()
					continue
				}
				if p, ok := own[key]; ok {
					r.value.positions[i] = p
					s.log.metrics.duplicates.Inc()
					continue
				}
				if own == nil {
					own = make(map[log.Identity]log.Position, len(requests))
				}
				own[key] = c.next()
			}
			r.value.positions[i] = c.next()
			if r.value.keys != nil && len(c.keys) == len(c.events) {
				c.keys = append(c.keys, r.value.keys[i])
			}
			c.events = append(c.events, b)
			c.size += uint64(len(b))
		}
	}
	return c
}

// advance makes a stored commit the head.
func (s *stream) advance(c *commit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.seq <= s.head.seq {
		return
	}
	s.sure = true
	s.head = head{seq: c.seq, next: c.next(), offset: c.end(), stored: c.stored}
	if s.tail.seq == 0 {
		s.tail = head{seq: c.seq, next: c.first, offset: c.offset, stored: c.stored}
	}
	if s.followers > 0 {
		s.ring.add(c)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// load reads where the stream begins and stands, unless that is known.
func (s *stream) load(ctx context.Context) error {
	if done, err := s.isLoaded(); done || err != nil {
		return err
	}
	s.loading.Lock()
	defer s.loading.Unlock()
	if done, err := s.isLoaded(); done || err != nil {
		return err
	}
	for try := 0; ; try++ {
		first, last, err := s.ends(ctx)
		if errors.Is(err, errGone) && try < conflicts {
			continue
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", s.id, err)
		}
		s.found(first, last)
		return nil
	}
}

func (s *stream) isLoaded() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed {
		return false, log.ErrUnknown
	}
	return s.loaded, nil
}

// forgetHead makes the next one who needs it read anew where the stream stands.
func (s *stream) forgetHead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded, s.sure = false, false
}

// ends reads the first and the last commit; both are nil when there is none.
func (s *stream) ends(ctx context.Context) (first, last *commit, err error) {
	from, to, err := s.log.store.state(ctx, s.name)
	if err != nil || to == 0 {
		return nil, nil, err
	}
	if from > to {
		return nil, nil, fmt.Errorf("%w: %s was emptied by somebody else, and where it stood is lost; remove it and make it again", errCorrupt, s.name)
	}
	if first, err = s.get(ctx, from); err != nil {
		return nil, nil, err
	}
	last, err = s.get(ctx, to)
	return first, last, err
}

// found makes the ends known. After a crash of the machine, a relaxed log may have lost events that somebody has read: their positions are not
// given again, or that reader would take the new events for read.
func (s *stream) found(first, last *commit) {
	next := s.log.readers.furthest(s.id) + 1
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = true
	if last == nil {
		s.head, s.tail = head{next: next}, head{next: next}
		return
	}
	s.tail = head{seq: first.seq, next: first.first, offset: first.offset, stored: first.stored}
	if last.seq == s.head.seq {
		return
	}
	s.head = head{seq: last.seq, next: max(last.next(), next), offset: last.end(), stored: last.stored}
	// What came in between is not in it.
	s.ring = ring{}
	close(s.changed)
	s.changed = make(chan struct{})
}

// loadDedupe makes known what was stored within the window, or since this process looked last.
func (s *stream) loadDedupe(ctx context.Context) error {
	s.mu.Lock()
	span, at, tail := s.limits.Dedupe, s.head, s.tail
	s.mu.Unlock()
	if span <= 0 {
		s.dedupe, s.seen = nil, 0
		return nil
	}
	if s.dedupe != nil && s.dedupe.Span() >= span && s.seen == at.seq {
		s.dedupe.Resize(span)
		return nil
	}
	if s.dedupe == nil || s.dedupe.Span() < span {
		s.dedupe, s.seen = window.New(span), 0
	}
	from := s.seen + 1
	if s.seen == 0 && at.seq > 0 {
		since := s.log.options.Now().Add(-span)
		c, err := s.seek(ctx, tail.seq, at.seq, func(c *commit) bool { return !c.stored.Before(since) })
		if err != nil {
			return err
		}
		if c == nil {
			s.seen = at.seq
			return nil
		}
		from = c.seq
	}
	return s.scan(ctx, from, at.seq, func(c *commit) error {
		remember(s.dedupe, c)
		s.seen = c.seq
		return nil
	})
}

// remove ends everything that waits for the stream.
func (s *stream) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.removed {
		s.removed = true
		close(s.changed)
		s.changed = make(chan struct{})
	}
}
