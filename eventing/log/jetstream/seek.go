package jetstream

import (
	"context"
	"errors"
	"fmt"

	"ebb.dev/ebb/eventing/log"
)

// get reads one commit.
func (s *stream) get(ctx context.Context, seq uint64) (*commit, error) {
	m, err := s.log.store.get(ctx, s.name, seq)
	if err != nil {
		return nil, err
	}
	return s.decode(*m)
}

func (s *stream) decode(m message) (*commit, error) {
	c, err := decodeCommit(m.seq, m.data)
	if err != nil {
		return nil, fmt.Errorf("stream %s: message %d of %s: %w", s.id, m.seq, s.name, err)
	}
	return c, nil
}

// scan calls f with the commits from one message to another, both included, in order.
func (s *stream) scan(ctx context.Context, from, to uint64, f func(*commit) error) error {
	for from <= to {
		next, err := s.page(ctx, from, to, f)
		if err != nil {
			return err
		}
		from = next
	}
	return nil
}

// page calls f with one page of commits and returns the sequence to go on with.
func (s *stream) page(ctx context.Context, from, to uint64, f func(*commit) error) (uint64, error) {
	next := from
	_, err := s.log.store.page(ctx, s.name, from, func(m message) error {
		if m.seq > to || m.seq < next {
			return nil
		}
		c, err := s.decode(m)
		if err != nil {
			return err
		}
		next = m.seq + 1
		return f(c)
	})
	if err != nil || next > from {
		return next, err
	}
	// A replica that lags behind has nothing of it; the leader has, or it was dropped.
	c, err := s.get(ctx, from)
	if errors.Is(err, errGone) {
		first, _, err := s.log.store.state(ctx, s.name)
		return max(first, from+1), err
	}
	if err != nil {
		return from, err
	}
	return from + 1, f(c)
}

// seek finds the first commit between two messages, both included, of which after is true, where it is false before that one and true from
// there on; nil if there is none. What is dropped meanwhile counts as before.
func (s *stream) seek(ctx context.Context, from, to uint64, after func(*commit) bool) (*commit, error) {
	var found *commit
	// A stream that never had a message ends at 0.
	for from = max(from, 1); from <= to; {
		middle := from + (to-from)/2
		c, err := s.get(ctx, middle)
		if err != nil && !errors.Is(err, errGone) {
			return nil, err
		}
		if err == nil && after(c) {
			found = c
			to = middle - 1
			continue
		}
		from = middle + 1
	}
	return found, nil
}

// at finds the commit with a position, or the next one if that is not kept any more; nil if the position is still to come. It guesses by
// how many events a commit has on average, which is right at once where each has one.
func (s *stream) at(ctx context.Context, p log.Position) (*commit, error) {
	s.mu.Lock()
	tail, head := s.tail, s.head
	s.mu.Unlock()
	if p >= head.next || head.seq == 0 {
		return nil, nil
	}
	from, to := tail.seq, head.seq
	low, high := tail.next, head.next
	var found *commit
	for bisect := false; from <= to; bisect = !bisect {
		guess := from + (to-from)/2
		if p <= low {
			guess = from
		} else if !bisect && high > low {
			guess = from + uint64(float64(to-from)*float64(p-low)/float64(high-low))
		}
		c, err := s.get(ctx, guess)
		switch {
		case errors.Is(err, errGone):
			from = guess + 1
		case err != nil:
			return nil, err
		case c.next() <= p:
			from, low = guess+1, c.next()
		case c.first <= p:
			return c, nil
		default:
			found = c
			to, high = guess-1, c.first
		}
	}
	return found, nil
}
