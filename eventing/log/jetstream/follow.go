package jetstream

import (
	"context"
	"fmt"

	"ebb.dev/ebb/eventing/log"
)

// follow calls f with every record from a position on.
func (s *stream) follow(ctx context.Context, p log.Position, f func(log.Record) error) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	s.join()
	defer s.leave()
	p = max(p, 1)
	// seq is the message to go on with, if it is known.
	var seq uint64
	for {
		commits, changed, err := s.next(p)
		if err != nil {
			return err
		}
		switch {
		case changed != nil:
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			case <-s.log.ctx.Done():
				return fmt.Errorf("follow stream %s: %w: it is being closed", s.id, log.ErrUnavailable)
			}
		case len(commits) > 0:
			p, seq, err = hand(ctx, commits, p, f)
		default:
			p, seq, err = s.followPage(ctx, p, seq, f)
		}
		if err != nil {
			return err
		}
	}
}

func (s *stream) join() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.followers++
}

func (s *stream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.followers--; s.followers == 0 {
		s.ring = ring{}
	}
}

// next returns what is in memory from a position on; or what to wait for, if there is nothing yet; or neither, if it has to be read.
func (s *stream) next(p log.Position) ([]*recent, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed {
		return nil, nil, fmt.Errorf("stream %s: %w", s.id, log.ErrUnknown)
	}
	if p >= s.head.next {
		return nil, s.changed, nil
	}
	return s.ring.find(p), nil, nil
}

// hand passes on what is in memory.
func hand(ctx context.Context, commits []*recent, p log.Position, f func(log.Record) error) (log.Position, uint64, error) {
	var seq uint64
	for _, c := range commits {
		records, err := c.from(p)
		if err != nil {
			return p, 0, err
		}
		if err := pass(ctx, records, f); err != nil {
			return p, 0, err
		}
		p, seq = c.next(), c.seq+1
	}
	return p, seq, nil
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

// followPage passes on one page of what is stored. It is read whole before any of it is passed on, so that a slow reader holds no page of
// the store.
func (s *stream) followPage(ctx context.Context, p log.Position, seq uint64, f func(log.Record) error) (log.Position, uint64, error) {
	if seq == 0 {
		c, err := s.at(ctx, p)
		if err != nil {
			return p, 0, err
		}
		if c == nil {
			// Somebody else has dropped what was there.
			s.forgetHead()
			return p, 0, s.load(ctx)
		}
		seq = c.seq
	}
	var commits []*commit
	last, _ := s.last()
	next, err := s.page(ctx, seq, last, func(c *commit) error {
		commits = append(commits, c)
		return nil
	})
	if err != nil {
		return p, seq, err
	}
	for _, c := range commits {
		records, err := c.records(p)
		if err != nil {
			return p, seq, fmt.Errorf("stream %s: message %d: %w", s.id, c.seq, err)
		}
		if err := pass(ctx, records, f); err != nil {
			return p, seq, err
		}
		p = max(p, c.next())
	}
	return p, next, nil
}

// records reads single records.
func (s *stream) records(ctx context.Context, positions []log.Position) ([]log.Record, error) {
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	var out []log.Record
	var c *commit
	for _, p := range positions {
		var err error
		if c == nil || p < c.first || p >= c.next() {
			if c, err = s.holding(ctx, p); err != nil {
				return nil, err
			}
		}
		if c == nil || p < c.first || p >= c.next() {
			continue
		}
		e, err := decodeEvent(c.events[p-c.first])
		if err != nil {
			return nil, fmt.Errorf("stream %s: position %d: %w", s.id, p, err)
		}
		out = append(out, log.Record{Position: p, Stored: c.stored, Event: e})
	}
	return out, nil
}

// holding finds the commit with a position, in memory first.
func (s *stream) holding(ctx context.Context, p log.Position) (*commit, error) {
	s.mu.Lock()
	commits := s.ring.find(p)
	s.mu.Unlock()
	if len(commits) > 0 {
		return commits[0].commit, nil
	}
	return s.at(ctx, p)
}
