package log

import (
	"context"
	"errors"
	"fmt"

	"ebb.dev/ebb/eventing/model"
)

// lookBack is how many positions are asked for at once to find one that has a record.
const lookBack = 64

// Last is the position of the last record at a position or before it; 0 if none is kept.
func Last(ctx context.Context, l Log, stream model.StreamID, at Position) (Position, error) {
	oldest, next, err := l.Bounds(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("read the bounds of stream %s: %w", stream, err)
	}
	at = min(at, max(next, 1)-1)
	for oldest = max(oldest, 1); at >= oldest; {
		begin := max(oldest, at+1-min(at, lookBack))
		positions := make([]Position, 0, lookBack)
		for p := begin; p <= at; p++ {
			positions = append(positions, p)
		}
		records, err := l.Get(ctx, stream, positions...)
		if err != nil {
			return 0, fmt.Errorf("read positions %d to %d of stream %s: %w", begin, at, stream, err)
		}
		if len(records) > 0 {
			return records[len(records)-1].Position, nil
		}
		at = begin - 1
	}
	return 0, nil
}

// errPassed ends a scan.
var errPassed = errors.New("the scan is over")

// Scan calls f with every record from one position to another, both included, in order, as far as they are kept. It waits for nothing that is
// not there yet. An error of f ends it and is returned.
func Scan(ctx context.Context, l Log, stream model.StreamID, from, to Position, f func(Record) error) error {
	last, err := Last(ctx, l, stream, to)
	if err != nil || last == 0 || last < from {
		return err
	}
	err = l.Follow(ctx, stream, from, func(r Record) error {
		// What was there a moment ago may be dropped by now: then the first one past the end is the end.
		if r.Position > last {
			return errPassed
		}
		if err := f(r); err != nil {
			return err
		}
		if r.Position == last {
			return errPassed
		}
		return nil
	})
	if errors.Is(err, errPassed) {
		return nil
	}
	return err
}
