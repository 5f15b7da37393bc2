package logtest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

func dedupe(t *testing.T, l Opened) {
	ensure(t, l, model.Limits{Dedupe: time.Hour})
	a := add(t, l, Event("s", "1", 0), Event("s", "2", 0), Event("s", "1", 0))
	b := add(t, l, Event("s", "2", 0))
	if a[0] != a[2] || b[0] != a[1] {
		t.Fatal(a, b)
	}
	if l.Reopen != nil {
		l = l.Reopen(t)
		if c := add(t, l, Event("s", "1", 0)); c[0] != a[0] {
			t.Fatalf("after a restart %d instead of %d", c[0], a[0])
		}
	}
	add(t, l, Event("s", "3", 0))
	want(t, read(t, l, 0, 3), "1", "2", "3")
}

func twoSources(t *testing.T, l Opened) {
	ensure(t, l, model.Limits{Dedupe: time.Hour})
	p := add(t, l, Event("a", "1", 0), Event("b", "1", 0), Event("a1", "", 0), Event("a", "1", 0))
	if p[0] == p[1] || p[1] == p[2] || p[0] == p[2] || p[3] != p[0] {
		t.Fatal(p)
	}
}

// A reply that has kept the source and id of what it answers is stored, once for all the times that it is brought back.
func replies(t *testing.T, l Opened) {
	ensure(t, l, model.Limits{Dedupe: time.Hour})
	reply := func(kind string, hops int32) *event.Event {
		e := Event("s", "1", 0)
		e.SetType(kind)
		e.SetExtension(extension.TTL, hops)
		return e
	}
	asked := add(t, l, reply("order.created", extension.FullTTL))
	if again := add(t, l, reply("order.changed", extension.FullTTL)); again[0] != asked[0] {
		t.Fatal("a sender has the same source and id for another event, and it is stored")
	}
	paid := add(t, l, reply("order.paid", extension.FullTTL-1))
	sent := add(t, l, reply("order.sent", extension.FullTTL-2))
	if paid[0] == asked[0] || sent[0] == paid[0] {
		t.Fatal("a reply is taken for what it answers")
	}
	if l.Reopen != nil {
		l = l.Reopen(t)
	}
	if again := add(t, l, reply("order.paid", extension.FullTTL-1), reply("order.paid", extension.FullTTL-3)); again[0] != paid[0] || again[1] != paid[0] {
		t.Fatal(again, paid)
	}
}

func window(t *testing.T, l Opened) {
	if l.Sleep == nil {
		t.Skip("this log has no clock to turn")
	}
	ensure(t, l, model.Limits{Dedupe: time.Minute})
	first := add(t, l, Event("s", "1", 0))
	l.Sleep(2 * time.Minute)
	if again := add(t, l, Event("s", "1", 0)); again[0] == first[0] {
		t.Fatal("still known after the window")
	}
	ensure(t, l, model.Limits{})
	a, b := add(t, l, Event("s", "1", 0)), add(t, l, Event("s", "1", 0))
	if a[0] == b[0] {
		t.Fatal("taken for the same without a window")
	}
}

func get(t *testing.T, l Opened) {
	ensure(t, l, model.Limits{})
	var all []log.Position
	for i := range 40 {
		all = append(all, add(t, l, Event("s", fmt.Sprint(3*i), 0), Event("s", fmt.Sprint(3*i+1), 0), Event("s", fmt.Sprint(3*i+2), 0))...)
	}
	records, err := l.Get(t.Context(), stream, all[100], all[0], all[119], all[119]+1000)
	if err != nil {
		t.Fatal(err)
	}
	want(t, records, "100", "0", "119")
	for i, p := range all {
		records, err := l.Get(t.Context(), stream, p)
		if err != nil || len(records) != 1 || records[0].Position != p || records[0].Event.ID() != fmt.Sprint(i) {
			t.Fatalf("position %d: %v, %v", p, records, err)
		}
	}
}

func at(t *testing.T, l Opened) {
	ensure(t, l, model.Limits{})
	if p, err := l.At(t.Context(), stream, time.Time{}); err != nil || p != 1 {
		t.Fatalf("empty: %d, %v", p, err)
	}
	if l.Sleep == nil {
		t.Skip("this log has no clock to turn")
	}
	for i := range 20 {
		add(t, l, Event("s", fmt.Sprint(i), 0))
		l.Sleep(time.Second)
	}
	for _, r := range read(t, l, 0, 20) {
		for _, since := range []time.Time{r.Stored, r.Stored.Add(-time.Millisecond)} {
			if p, err := l.At(t.Context(), stream, since); err != nil || p != r.Position {
				t.Fatalf("%v: %d instead of %d, %v", since, p, r.Position, err)
			}
		}
	}
	_, next, _ := l.Bounds(t.Context(), stream)
	if p, err := l.At(t.Context(), stream, time.Now().Add(1000*time.Hour)); err != nil || p != next {
		t.Fatalf("the future: %d, %v", p, err)
	}
}

func keep(t *testing.T, l Opened) {
	ctx := t.Context()
	ensure(t, l, model.Limits{})
	if state, err := l.Kept(ctx, stream, "a"); state != nil || err != nil {
		t.Fatalf("nothing was kept: %q, %v", state, err)
	}
	for i := range 10 {
		for _, r := range []model.ReaderID{"a", "b"} {
			if err := l.Keep(ctx, stream, r, log.Position(i), fmt.Append(nil, r, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Forget(ctx, stream, "b"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		a, errA := l.Kept(ctx, stream, "a")
		b, errB := l.Kept(ctx, stream, "b")
		if string(a) != fmt.Sprint("a", 9) || errA != nil || b != nil || errB != nil {
			t.Fatalf("%q %v, %q %v", a, errA, b, errB)
		}
		if l.Reopen == nil {
			return
		}
		l = l.Reopen(t)
	}
}

func full(t *testing.T, l Opened) {
	if l.Unbounded != "" {
		t.Skip(l.Unbounded)
	}
	ctx := t.Context()
	ensure(t, l, model.Limits{Unread: 10_000})
	if err := l.Keep(ctx, stream, "slow", 0, nil); err != nil {
		t.Fatal(err)
	}
	var last log.Position
	var err error
	for i := range 100 {
		var p []log.Position
		if p, err = l.Append(ctx, stream, Event("s", fmt.Sprint(i), 1000)); err != nil {
			break
		}
		last = p[0]
	}
	if !errors.Is(err, log.ErrFull) {
		t.Fatal(err)
	}
	if err := l.Keep(ctx, stream, "slow", last, nil); err != nil {
		t.Fatal(err)
	}
	add(t, l, Event("s", "again", 1000))
	if records := read(t, l, last, 2); records[1].Event.ID() != "again" {
		t.Fatal(ids(records))
	}
}

func tooLarge(t *testing.T, l Opened) {
	ensure(t, l, model.Limits{Event: 1000})
	if _, err := l.Append(t.Context(), stream, Event("s", "1", 0), Event("s", "2", 2000)); !errors.Is(err, log.ErrTooLarge) {
		t.Fatal(err)
	}
	add(t, l, Event("s", "3", 0))
	want(t, read(t, l, 0, 1), "3")
}

func unreadStays(t *testing.T, l Opened) {
	if l.Retain == nil || l.Sleep == nil {
		t.Skip("this log drops nothing")
	}
	ensure(t, l, model.Limits{Age: time.Minute, Bytes: 2000})
	var p []log.Position
	for i := range 50 {
		p = append(p, add(t, l, Event("s", fmt.Sprint(i), 500))...)
	}
	for reader, read := range map[model.ReaderID]log.Position{"slow": p[19], "fast": p[49]} {
		if err := l.Keep(t.Context(), stream, reader, read, nil); err != nil {
			t.Fatal(err)
		}
	}
	l.Sleep(time.Hour)
	l.Retain()
	oldest, _, err := l.Bounds(t.Context(), stream)
	if err != nil || oldest > p[20] || oldest < p[10] {
		t.Fatalf("oldest is %d, unread begins at %d, %v", oldest, p[20], err)
	}
	if records := read(t, l, p[20], 30); records[0].Event.ID() != "20" || records[29].Event.ID() != "49" {
		t.Fatal(ids(records))
	}
	if err := l.Forget(t.Context(), stream, "slow"); err != nil {
		t.Fatal(err)
	}
	l.Retain()
	if oldest, _, err = l.Bounds(t.Context(), stream); err != nil || oldest <= p[20] {
		t.Fatalf("a reader that is gone holds back %d, %v", oldest, err)
	}
}

func age(t *testing.T, l Opened) {
	if l.Retain == nil || l.Sleep == nil {
		t.Skip("this log drops nothing")
	}
	ensure(t, l, model.Limits{Age: time.Hour})
	add(t, l, Event("s", "old", 0), Event("s", "old too", 0))
	l.Sleep(2 * time.Hour)
	l.Retain()
	if records, err := l.Get(t.Context(), stream, 1, 2); err != nil || len(records) > 0 {
		t.Fatalf("still there: %v, %v", ids(records), err)
	}
	if l.Reopen != nil {
		l = l.Reopen(t)
	}
	l.Retain()
	oldest, next, err := l.Bounds(t.Context(), stream)
	if err != nil || oldest != 3 || next != 3 {
		t.Fatalf("%d to %d, %v", oldest, next, err)
	}
	if p := add(t, l, Event("s", "new", 0)); p[0] < 3 {
		t.Fatalf("position %d again", p[0])
	}
	want(t, read(t, l, 0, 1), "new")
}

func restart(t *testing.T, l Opened) {
	if l.Reopen == nil {
		t.Skip("this log keeps nothing")
	}
	ensure(t, l, model.Limits{Dedupe: time.Hour, Event: 5000})
	p := add(t, l, Event("s", "1", 10), Event("s", "2", 10))
	l = l.Reopen(t)
	// Without another Ensure: the stream and its limits are known.
	if _, err := l.Append(t.Context(), stream, Event("s", "large", 6000)); !errors.Is(err, log.ErrTooLarge) {
		t.Fatal(err)
	}
	if q := add(t, l, Event("s", "3", 10)); q[0] <= p[1] {
		t.Fatal(p, q)
	}
	want(t, read(t, l, 0, 3), "1", "2", "3")
}

func removed(t *testing.T, l Opened) {
	ensure(t, l, model.Limits{Dedupe: time.Hour})
	add(t, l, Event("s", "1", 0), Event("s", "2", 0))
	if err := l.Keep(t.Context(), stream, "r", 2, []byte("state")); err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	ensure(t, l, model.Limits{Dedupe: time.Hour})
	if state, err := l.Kept(t.Context(), stream, "r"); state != nil || err != nil {
		t.Fatalf("%q, %v", state, err)
	}
	if p := add(t, l, Event("s", "1", 0)); p[0] != 1 {
		t.Fatal(p)
	}
}
