package logtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// Opened is a log under test.
type Opened struct {
	log.Log
	// Reopen closes the log and opens it again with what it had; nil for one that keeps nothing.
	Reopen func(t *testing.T) Opened
	// Retain drops now what the limits say; nil for a log that drops nothing.
	Retain func()
	// Sleep lets time pass for the log's clock.
	Sleep func(time.Duration)
	// Unbounded says why streams are never full; empty for a log that bounds what is unread.
	Unbounded string
}

// Run tests a log that open opens empty.
func Run(t *testing.T, open func(t *testing.T) Opened) {
	t.Helper()
	for _, promise := range []struct {
		name string
		test func(*testing.T, Opened)
	}{
		{"PositionsBeginAtOneAndGrow", positionsGrow},
		{"EventsComeBackAsTheyWere", eventsComeBack},
		{"UnknownStreamsAreSaidToBe", unknown},
		{"FollowersGetEverythingInOrder", followersGetAll},
		{"FollowBeginsWhereItIsAsked", followFrom},
		{"FollowEndsWithItsStream", followEnds},
		{"FollowReturnsTheErrorOfItsReader", followError},
		{"SameSourceAndIdIsStoredOnce", dedupe},
		{"SameIdOfTwoSourcesIsTwoEvents", twoSources},
		{"RepliesAreNotWhatTheyAnswer", replies},
		{"DuplicatesAreForgottenAfterTheWindow", window},
		{"GetReadsSingleRecords", get},
		{"AtFindsTimes", at},
		{"ReadersKeepTheirStates", keep},
		{"FullStreamsRefuseAndRecover", full},
		{"TooLargeStoresNothing", tooLarge},
		{"WhatIsUnreadIsNeverDropped", unreadStays},
		{"WhatEverybodyHasReadGoesByAge", age},
		{"EverythingOutlivesARestart", restart},
		{"RemovedStreamsBeginAnew", removed},
		{"WhatIsKeptCanBeListed", listed},
	} {
		t.Run(promise.name, func(t *testing.T) { promise.test(t, open(t)) })
	}
}

// Event makes an event with data of a number of bytes.
func Event(source, id string, size int) *event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource(source)
	e.SetType("test")
	if size > 0 {
		_ = e.SetData("application/octet-stream", slices.Repeat([]byte("x"), size))
	}
	return &e
}

const stream = model.StreamID("Broker/default/default")

func ensure(t *testing.T, l log.Log, limits model.Limits) {
	t.Helper()
	if err := l.Ensure(t.Context(), model.Stream{ID: stream, Kind: model.Broker, Limits: limits}); err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, l log.Log, events ...*event.Event) []log.Position {
	t.Helper()
	positions, err := l.Append(t.Context(), stream, events...)
	if err != nil {
		t.Fatal(err)
	}
	if len(positions) != len(events) {
		t.Fatalf("%d positions for %d events", len(positions), len(events))
	}
	return positions
}

var errEnough = errors.New("enough")

// read follows until it has a number of records.
func read(t *testing.T, l log.Log, from log.Position, n int) []log.Record {
	t.Helper()
	var out []log.Record
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := l.Follow(ctx, stream, from, func(r log.Record) error {
		if out = append(out, r); len(out) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("after %d of %d records: %v", len(out), n, err)
	}
	return out
}

func ids(records []log.Record) []string {
	out := make([]string, len(records))
	for i, r := range records {
		out[i] = r.Event.ID()
	}
	return out
}

func want(t *testing.T, records []log.Record, ids_ ...string) {
	t.Helper()
	if got := ids(records); !slices.Equal(got, ids_) {
		t.Fatalf("got %v, want %v", got, ids_)
	}
}

func positionsGrow(t *testing.T, l Opened) {
	ensure(t, l, model.Limits{})
	oldest, next, err := l.Bounds(t.Context(), stream)
	if err != nil || oldest != 1 || next != 1 {
		t.Fatalf("empty: %d to %d, %v", oldest, next, err)
	}
	positions := append(add(t, l, Event("s", "1", 0)), add(t, l, Event("s", "2", 0), Event("s", "3", 0))...)
	if positions[0] != 1 || !slices.IsSorted(positions) || positions[1] == positions[2] {
		t.Fatal(positions)
	}
	oldest, next, err = l.Bounds(t.Context(), stream)
	if err != nil || oldest != 1 || next <= positions[2] {
		t.Fatalf("%d to %d, %v", oldest, next, err)
	}
}

func eventsComeBack(t *testing.T, l Opened) {
	ensure(t, l, model.Limits{})
	rich := Event("/a/b?c=d#e", "ä 1", 10)
	rich.SetSubject("subject")
	rich.SetTime(time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC))
	rich.SetDataSchema("https://example.com/schema")
	rich.SetExtension("text", "")
	rich.SetExtension("number", 7)
	rich.SetExtension("yes", true)
	rich.SetExtension("bytes", []byte{0, 1})
	rich.SetExtension("when", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	empty := Event("s", "none", 0)
	add(t, l, rich, empty)
	for i, r := range read(t, l, 0, 2) {
		sent := []*event.Event{rich, empty}[i]
		if r.Event.String() != sent.String() || fmt.Sprint(r.Event.Extensions()) != fmt.Sprint(sent.Extensions()) {
			t.Errorf("got\n%v\nwant\n%v", r.Event, sent)
		}
		if err := r.Event.Validate(); err != nil {
			t.Error(err)
		}
		if (r.Event.DataEncoded == nil) != (sent.DataEncoded == nil) {
			t.Error("no data is not empty data")
		}
	}
}

func unknown(t *testing.T, l Opened) {
	ctx := t.Context()
	_, appended := l.Append(ctx, stream, Event("s", "1", 0))
	_, _, bounds := l.Bounds(ctx, stream)
	_, get := l.Get(ctx, stream, 1)
	_, at := l.At(ctx, stream, time.Time{})
	for name, err := range map[string]error{
		"Append": appended, "Bounds": bounds, "Get": get, "At": at,
		"Follow": l.Follow(ctx, stream, 0, func(log.Record) error { return nil }),
		"Keep":   l.Keep(ctx, stream, "r", 0, nil),
	} {
		if !errors.Is(err, log.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.Remove(ctx, stream); err != nil {
		t.Errorf("Remove: %v", err)
	}
}

func followersGetAll(t *testing.T, l Opened) {
	const writers, each, readers = 8, 50, 4
	ensure(t, l, model.Limits{Dedupe: time.Minute})
	var wg sync.WaitGroup
	got := make([][]log.Record, readers)
	for i := range readers {
		wg.Go(func() { got[i] = read(t, l, 0, writers*each) })
	}
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := l.Append(t.Context(), stream, Event(fmt.Sprint(w), fmt.Sprint(i), 100)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, records := range got {
		next := make(map[string]int)
		for i, r := range records {
			if i > 0 && r.Position <= records[i-1].Position {
				t.Fatalf("position %d after %d", r.Position, records[i-1].Position)
			}
			if want := fmt.Sprint(next[r.Event.Source()]); r.Event.ID() != want {
				t.Fatalf("writer %s: %s instead of %s", r.Event.Source(), r.Event.ID(), want)
			}
			next[r.Event.Source()]++
		}
	}
}

func followFrom(t *testing.T, l Opened) {
	ensure(t, l, model.Limits{})
	p := add(t, l, Event("s", "1", 0), Event("s", "2", 0), Event("s", "3", 0))
	add(t, l, Event("s", "4", 0))
	want(t, read(t, l, 0, 4), "1", "2", "3", "4")
	want(t, read(t, l, p[1], 3), "2", "3", "4")
	_, next, _ := l.Bounds(t.Context(), stream)
	var wg sync.WaitGroup
	wg.Go(func() { want(t, read(t, l, next, 1), "5") })
	add(t, l, Event("s", "5", 0))
	wg.Wait()
}

func followEnds(t *testing.T, l Opened) {
	ensure(t, l, model.Limits{})
	add(t, l, Event("s", "1", 0))
	begun, ended := make(chan struct{}), make(chan error)
	go func() {
		ended <- l.Follow(t.Context(), stream, 0, func(log.Record) error { close(begun); return nil })
	}()
	<-begun
	if err := l.Remove(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, log.ErrUnknown) {
		t.Fatal(err)
	}
}

func followError(t *testing.T, l Opened) {
	ensure(t, l, model.Limits{})
	add(t, l, Event("s", "1", 0))
	if err := l.Follow(t.Context(), stream, 0, func(log.Record) error { return errEnough }); !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := l.Follow(ctx, stream, 0, func(log.Record) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
