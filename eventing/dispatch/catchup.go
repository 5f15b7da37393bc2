package dispatch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"ebb.dev/ebb/eventing/log"
)

const (
	// passRecords and passTime bound one pass, so that readers in different places take turns.
	passRecords = 2_000
	passTime    = time.Second
)

// catchUp serves the readers that are behind and have room, in passes over the log. A pass begins where one of them is and takes along all
// that are further on; each gets what it would have got from the follower.
func (s *stream) catchUp(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.lagging:
		}
		for ctx.Err() == nil {
			from, group := s.next()
			if len(group) == 0 {
				break
			}
			if err := s.pass(ctx, from, group); err != nil && ctx.Err() == nil {
				s.d.Logger.Error("stream cannot be read, tried again", "stream", s.id, "in", retryFollow, "error", err)
				s.d.pause(ctx, retryFollow)
			}
		}
	}
}

// next chooses the reader whose turn it is and all that a pass from there serves as well.
func (s *stream) next() (from log.Position, group []*reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hungry []*reader
	for _, r := range s.readers {
		if r.hungry() {
			hungry = append(hungry, r)
		}
	}
	if len(hungry) == 0 {
		return 0, nil
	}
	slices.SortFunc(hungry, func(a, b *reader) int { return cmp.Compare(a.id, b.id) })
	chosen := hungry[0]
	for _, r := range hungry {
		if r.id > s.turn {
			chosen = r
			break
		}
	}
	s.turn = chosen.id
	from = chosen.scanned()
	for _, r := range hungry {
		if r.scanned() >= from {
			group = append(group, r)
		}
	}
	return from, group
}

// pass offers what follows a position to a group of readers that are behind.
func (s *stream) pass(ctx context.Context, from log.Position, group []*reader) error {
	oldest, next, err := s.d.Log.Bounds(ctx, s.id)
	if err != nil {
		return err
	}
	for _, r := range group {
		r.missed(oldest)
	}
	if end := max(next, 1) - 1; from >= end || oldest > end {
		// Nothing is stored past the reader: it goes on from the end, and joins unless the follower has gone further in the meantime.
		s.close(group, end)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, passTime)
	defer cancel()
	read := 0
	err = s.d.Log.Follow(ctx, s.id, from+1, func(record log.Record) error {
		group = s.serve(record, group)
		if read++; len(group) == 0 || read >= passRecords {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) || ctx.Err() != nil {
		return nil
	}
	return err
}

// serve offers a record to a group and returns those who go on: who has no room any more or is up with the follower does not.
func (s *stream) serve(record log.Record, group []*reader) []*reader {
	passed := make([]bool, len(group))
	for i, r := range group {
		passed[i] = r.passes(record.Event)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	head := log.Position(s.head.Load())
	left := group[:0]
	for i, r := range group {
		if r.take(record, passed[i]) && !r.joins(head) {
			left = append(left, r)
		}
	}
	return left
}

// close moves a group to the end of what is stored, where its readers join.
func (s *stream) close(group []*reader, end log.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := log.Position(s.head.Load())
	for _, r := range group {
		r.skip(end)
		r.joins(head)
	}
}
