package log_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/logtest"
	"ebb.dev/ebb/eventing/log/memory"
	"ebb.dev/ebb/eventing/model"
)

const stream = model.StreamID("broker.1")

// gaps is a log without some of its positions.
type gaps struct {
	log.Log
	missing map[log.Position]bool
}

func (g gaps) Get(ctx context.Context, id model.StreamID, positions ...log.Position) ([]log.Record, error) {
	return g.Log.Get(ctx, id, slices.DeleteFunc(positions, func(p log.Position) bool { return g.missing[p] })...)
}

func (g gaps) Follow(ctx context.Context, id model.StreamID, from log.Position, f func(log.Record) error) error {
	return g.Log.Follow(ctx, id, from, func(r log.Record) error {
		if g.missing[r.Position] {
			return nil
		}
		return f(r)
	})
}

func stored(t *testing.T, n int, missing ...log.Position) log.Log {
	t.Helper()
	l := gaps{Log: &memory.Log{}, missing: map[log.Position]bool{}}
	for _, p := range missing {
		l.missing[p] = true
	}
	if err := l.Ensure(t.Context(), model.Stream{ID: stream}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := l.Append(t.Context(), stream, logtest.Event("s", fmt.Sprint(i), 0)); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestAScanEndsWhereTheRangeOrTheStreamEnds(t *testing.T) {
	for _, c := range []struct {
		name     string
		l        log.Log
		from, to log.Position
		want     []log.Position
	}{
		{"all", stored(t, 3), 0, 100, []log.Position{1, 2, 3}},
		{"a part", stored(t, 5), 2, 4, []log.Position{2, 3, 4}},
		{"nothing stored", stored(t, 0), 1, 100, nil},
		{"past the end", stored(t, 3), 4, 100, nil},
		{"turned round", stored(t, 3), 3, 1, nil},
		{"a gap at the end", stored(t, 5, 4, 5), 2, 5, []log.Position{2, 3}},
		{"a gap at the beginning", stored(t, 5, 1, 2), 1, 3, []log.Position{3}},
		{"nothing but gaps", stored(t, 3, 1, 2, 3), 0, 3, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []log.Position
			err := log.Scan(t.Context(), c.l, stream, c.from, c.to, func(r log.Record) error {
				got = append(got, r.Position)
				return nil
			})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestTheLastRecordIsFoundBehindALongGap(t *testing.T) {
	var missing []log.Position
	for p := log.Position(10); p <= 300; p++ {
		missing = append(missing, p)
	}
	if last, err := log.Last(t.Context(), stored(t, 300, missing...), stream, 1000); err != nil || last != 9 {
		t.Errorf("%d, %v", last, err)
	}
	if _, err := log.Last(t.Context(), stored(t, 1), "another", 1); !errors.Is(err, log.ErrUnknown) {
		t.Error(err)
	}
}

func TestAScanReturnsWhatItsReaderSays(t *testing.T) {
	enough := errors.New("enough")
	err := log.Scan(t.Context(), stored(t, 3), stream, 1, 3, func(log.Record) error { return enough })
	if !errors.Is(err, enough) {
		t.Error(err)
	}
}
