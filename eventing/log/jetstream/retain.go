package jetstream

import (
	"context"
	"fmt"
	"time"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// Level is how near a stream is to taking no more.
type Level int

// The levels: with room, past four fifths of what may be unread, and refusing.
const (
	Room Level = iota
	Filling
	Full
)

// Notice tells of what a person should see before anything is refused or dropped.
type Notice struct {
	Stream model.StreamID
	// Level is the stream's; Unread and Limit are bytes.
	Level         Level
	Unread, Limit uint64
	// Dropping is the first position that is kept when what everybody has read is about to be dropped for its age or size; zero in a notice of
	// a level.
	Dropping log.Position
}

// purgeShare is the part of a stream's byte limit that has to be over before it is dropped, so that one drop serves many commits.
const purgeShare = 8

// admit refuses what would leave more unread than the stream may have.
func (s *stream) admit(ctx context.Context, size uint64) error {
	unread, limit, stale := s.unread()
	if stale && (unread+size)*5 > limit*4 {
		if err := s.updateBase(ctx); err != nil {
			return err
		}
		unread, limit, _ = s.unread()
	}
	s.setLevel(unread+size, limit)
	if unread+size > limit {
		s.log.metrics.full.Inc()
		return fmt.Errorf("stream %s: %w: %d of %d bytes are unread", s.id, log.ErrFull, unread, limit)
	}
	return nil
}

// unread is what somebody has still to read, in bytes, and whether the readers have moved since it was looked up.
func (s *stream) unread() (bytes, limit uint64, stale bool) {
	slowest, any := s.log.readers.slowest(s.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	limit = uint64(s.limits.Unread)
	if !any || slowest+1 >= s.head.next {
		return 0, limit, false
	}
	base := s.tail.offset
	if s.baseKnown && s.baseAt <= slowest {
		base = max(base, s.base)
	}
	return s.head.offset - base, limit, !s.baseKnown || s.baseAt != slowest
}

// updateBase looks up how much the slowest reader has read.
func (s *stream) updateBase(ctx context.Context) error {
	slowest, any := s.log.readers.slowest(s.id)
	if !any {
		return nil
	}
	c, err := s.holding(ctx, slowest+1)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.baseKnown, s.baseAt = true, slowest
	s.base = s.head.offset
	if c != nil {
		s.base = c.offset
	}
	return nil
}

func (s *stream) setLevel(unread, limit uint64) {
	s.mu.Lock()
	old := s.level
	s.level = old.next(unread, limit)
	level := s.level
	s.mu.Unlock()
	if level != old {
		s.log.notify(Notice{Stream: s.id, Level: level, Unread: unread, Limit: limit})
	}
}

// next is the level that follows one. It goes down later than it goes up, so that it does not flap.
func (l Level) next(unread, limit uint64) Level {
	tenths := unread * 10 / max(limit, 1)
	switch {
	case unread > limit:
		return Full
	case l == Full && tenths >= 9:
		return Full
	case unread*5 > limit*4:
		return Filling
	case l != Room && tenths >= 7:
		return Filling
	}
	return Room
}

// retain drops what everybody has read and what is too old or too much.
func (s *stream) retain(ctx context.Context) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	unread, limit, stale := s.unread()
	if stale {
		if err := s.updateBase(ctx); err != nil {
			return err
		}
		unread, limit, _ = s.unread()
	}
	s.setLevel(unread, limit)
	s.log.metrics.show(string(s.id), float64(unread)/float64(max(limit, 1)))
	old, much := s.due()
	if old.IsZero() && much == 0 {
		return nil
	}
	cut, err := s.cut(ctx, old, much)
	if err != nil || cut == nil {
		return err
	}
	return s.drop(ctx, cut)
}

// due is what there is to drop: what was stored before a time, and up to an offset; zero for nothing.
func (s *stream) due() (before time.Time, offset uint64) {
	slowest, any := s.log.readers.slowest(s.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tail.seq == 0 || s.tail.next == s.head.next || (any && slowest < s.tail.next) {
		return time.Time{}, 0
	}
	if limit := s.log.options.Now().Add(-s.limits.Age); s.tail.stored.Before(limit) {
		before = limit
	}
	read := s.head.offset
	if any && slowest+1 < s.head.next {
		read = s.base
	}
	if most := uint64(s.limits.Bytes); read > s.tail.offset+most+most/purgeShare {
		offset = read - most
	}
	return before, offset
}

// cut finds the first commit to keep.
func (s *stream) cut(ctx context.Context, before time.Time, offset uint64) (*commit, error) {
	slowest, any := s.log.readers.slowest(s.id)
	s.mu.Lock()
	tail, head := s.tail, s.head
	s.mu.Unlock()
	keep := func(c *commit) bool {
		return (any && c.next() > slowest+1) || (!c.stored.Before(before) && c.offset >= offset)
	}
	c, err := s.seek(ctx, tail.seq, head.seq, keep)
	if err != nil || c != nil {
		return c, err
	}
	// A stream that has no message left has forgotten where it stands: one without events has to stay.
	if err := s.group.do(ctx, &appending{mark: true}, 0); err != nil {
		return nil, err
	}
	return s.get(ctx, head.seq+1)
}

// drop removes everything before a commit.
func (s *stream) drop(ctx context.Context, c *commit) error {
	s.mu.Lock()
	tail := s.tail
	s.mu.Unlock()
	if c.seq <= tail.seq {
		return nil
	}
	s.log.notify(Notice{Stream: s.id, Dropping: c.first})
	if err := s.log.store.purge(ctx, s.name, c.seq); err != nil {
		return err
	}
	s.mu.Lock()
	s.tail = head{seq: c.seq, next: c.first, offset: c.offset, stored: c.stored}
	s.mu.Unlock()
	s.log.metrics.dropped.Add(float64(c.first - tail.next))
	return nil
}
