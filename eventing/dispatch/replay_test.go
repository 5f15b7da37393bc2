package dispatch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// delivered is a dispatcher whose reader "a" has had the events given.
func delivered(t *testing.T, s *subscriber, change func(*model.Reader), ids ...string) (*running, *memory) {
	t.Helper()
	l := newMemory(time.Now, broker)
	publish(t, l, ids...)
	reader := trigger("a", s.URL)
	if change != nil {
		change(&reader)
	}
	d := run(t, Options{Log: l}, reader)
	eventually(t, "everything is delivered", func() bool { at := d.look(reader.ID); return at.Low == log.Position(len(ids)) })
	return d, l
}

const readerA = model.ReaderID("trigger/a")

// nothingLeft says that no replay left anything in the log.
func nothingLeft(t *testing.T, l *memory) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, s := range l.streams {
		if strings.Contains(string(id), "replay/") {
			t.Errorf("stream %s is left", id)
		}
		for reader := range s.states {
			if strings.Contains(string(reader), "replay/") {
				t.Errorf("the state of %s is left in stream %s", reader, id)
			}
		}
	}
}

func TestAReplayDeliversItsRangeAgainAndLeavesThePositionAlone(t *testing.T) {
	s := subscribe(t, nil)
	ids := numbered(1, 700)
	d, l := delivered(t, s, func(r *model.Reader) { r.Filter = only(ids[100:]) }, ids...)
	before := d.look(readerA)
	var seen []Replayed
	got, err := d.Replay(t.Context(), readerA, 51, 650, time.Millisecond, func(r Replayed) { seen = append(seen, r) })
	if err != nil {
		t.Fatal(err)
	}
	want := Replayed{Asked: 51, From: 51, To: 650, Next: 651, Matched: 550, Delivered: 550}
	if got != want {
		t.Errorf("%+v", got)
	}
	if all := s.got(); !slices.Equal(sorted(all[600:]), ids[100:650]) {
		t.Errorf("%d deliveries, of the replay %v", len(all), all[600:])
	}
	if after := d.look(readerA); after.Low != before.Low || after.Delivered != before.Delivered || after.Matched != before.Matched {
		t.Errorf("the reader went from %+v to %+v", before, after)
	}
	for _, r := range seen {
		if r.Next < 51 || r.Next > 651 || r.Delivered > 550 {
			t.Errorf("progress %+v", r)
		}
	}
	nothingLeft(t, l)
	publish(t, l, ids[699])
	eventually(t, "the reader goes on", func() bool { return len(s.got()) == 600+550+1 })
}

func TestAPreviewSaysWhatAReplayWouldDeliver(t *testing.T) {
	s := subscribe(t, nil)
	ids := numbered(1, 10)
	d, _ := delivered(t, s, func(r *model.Reader) { r.Filter = only(ids[4:]) }, ids...)
	var got []string
	out, err := d.Preview(t.Context(), readerA, 0, 7, func(r log.Record) error { got = append(got, r.Event.ID()); return nil })
	if err != nil || !slices.Equal(got, ids[4:7]) || out.Matched != 3 || out.Next != 8 || len(s.got()) != 6 {
		t.Errorf("%v, %+v, %v, %d deliveries", got, out, err, len(s.got()))
	}
}

func TestDeadEventsOfAReplayAreTheReadersOwn(t *testing.T) {
	again := make(chan struct{})
	s := subscribe(t, func(w http.ResponseWriter, _ *http.Request, id string, _ int) {
		select {
		case <-again:
			if id == "2" {
				w.WriteHeader(http.StatusBadRequest)
			}
		default:
		}
	})
	d, l := delivered(t, s, nil, "1", "2", "3")
	close(again)
	got, err := d.Replay(t.Context(), readerA, 1, 3, time.Hour, nil)
	if err != nil || got.Delivered != 2 || got.Dead != 1 || got.DeadKept != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if dead := l.stored(DeadStream(readerA)); len(dead) != 1 || dead[0].ID() != "2" {
		t.Errorf("dead: %v", dead)
	}
	nothingLeft(t, l)
}

func TestAReplaysRetriesLeaveNothingBehind(t *testing.T) {
	sink := subscribe(t, func(w http.ResponseWriter, _ *http.Request, _ string, nth int) {
		if nth == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	var refuse bool
	s := subscribe(t, func(w http.ResponseWriter, _ *http.Request, _ string, nth int) {
		if refuse = nth > 1; refuse {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	d, l := delivered(t, s, func(r *model.Reader) {
		r.Delivery.DeadLetter = model.Destination{URL: sink.URL}
		r.Delivery.Delay = time.Millisecond
	}, "1")
	got, err := d.Replay(t.Context(), readerA, 1, 1, time.Hour, nil)
	if err != nil || got.Dead != 1 || got.DeadKept != 0 || got.Retried != 1 || len(sink.got()) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	nothingLeft(t, l)
}

// gone waits until the sender has gone; the server sees that only once the body is read.
func gone(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func TestAnInterruptedReplaySaysWhereToGoOn(t *testing.T) {
	held := make(chan struct{}, 1)
	s := subscribe(t, func(_ http.ResponseWriter, r *http.Request, id string, nth int) {
		if id == "000003" && nth == 2 {
			held <- struct{}{}
			gone(r)
		}
	})
	d, l := delivered(t, s, func(r *model.Reader) { r.Ordered = true }, numbered(1, 5)...)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-held
		if _, err := d.Replay(t.Context(), readerA, 1, 5, time.Hour, nil); !errors.Is(err, ErrReplaying) {
			t.Error("a second one:", err)
		}
		cancel()
	}()
	got, err := d.Replay(ctx, readerA, 1, 5, time.Hour, nil)
	if !errors.Is(err, context.Canceled) || got.Next != 3 || got.Delivered != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	nothingLeft(t, l)
	if got, err = d.Replay(t.Context(), readerA, got.Next, 5, time.Hour, nil); err != nil || got.Delivered != 3 {
		t.Errorf("gone on: %+v, %v", got, err)
	}
}

func TestWhatIsNotKeptAnyMoreIsSaid(t *testing.T) {
	s := subscribe(t, nil)
	d, l := delivered(t, s, nil, numbered(1, 10)...)
	l.mu.Lock()
	l.streams[broker].records, l.streams[broker].first = l.streams[broker].records[4:], 5
	l.mu.Unlock()
	got, err := d.Replay(t.Context(), readerA, 2, 7, time.Hour, nil)
	if err != nil || got.Asked != 2 || got.From != 5 || got.To != 7 || got.Delivered != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = d.Replay(t.Context(), readerA, 1, 4, time.Hour, nil)
	if err != nil || got.From <= got.To || got.Delivered != 0 {
		t.Errorf("nothing of it is kept: %+v, %v", got, err)
	}
}

func TestWhatIsDroppedDuringAReplayIsLost(t *testing.T) {
	var l *memory
	s := subscribe(t, func(_ http.ResponseWriter, _ *http.Request, id string, nth int) {
		if id == "000001" && nth == 2 {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.streams[broker].records, l.streams[broker].first = l.streams[broker].records[600:], 601
		}
	})
	var d *running
	d, l = delivered(t, s, func(r *model.Reader) { r.Ordered = true }, numbered(1, 700)...)
	got, err := d.Replay(t.Context(), readerA, 1, 650, time.Hour, nil)
	if err != nil || got.Delivered+got.Lost != 650 || got.Delivered < 51 || got.Next != 651 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAReplayEndsWithItsReaderAndWithTheDispatcher(t *testing.T) {
	for name, end := range map[string]func(*running){
		"reader":     func(d *running) { _ = d.Remove(context.Background(), readerA) },
		"dispatcher": func(d *running) { d.cancel() },
	} {
		held := make(chan struct{}, 1)
		s := subscribe(t, func(_ http.ResponseWriter, r *http.Request, _ string, nth int) {
			if nth == 2 {
				held <- struct{}{}
				gone(r)
			}
		})
		d, l := delivered(t, s, nil, "1", "2")
		go func() {
			<-held
			end(d)
		}()
		if got, err := d.Replay(t.Context(), readerA, 1, 2, time.Hour, nil); !errors.Is(err, ErrInterrupted) || got.Next != 1 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		nothingLeft(t, l)
	}
}

func TestAReplayGoesOnAsItsReaderIsNow(t *testing.T) {
	other := subscribe(t, nil)
	held, hold := make(chan struct{}, 1), make(chan struct{})
	s := subscribe(t, func(_ http.ResponseWriter, _ *http.Request, _ string, nth int) {
		if nth == 2 {
			held <- struct{}{}
			<-hold
		}
	})
	d, _ := delivered(t, s, func(r *model.Reader) { r.Ordered = true }, "1", "2", "3")
	go func() {
		<-held
		changed := trigger("a", other.URL)
		changed.Ordered = true
		if err := d.Upsert(context.Background(), changed); err != nil {
			t.Error(err)
		}
		close(hold)
	}()
	if got, err := d.Replay(t.Context(), readerA, 1, 3, time.Hour, nil); err != nil || got.Delivered != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got := other.got(); !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("the new subscriber got %v", got)
	}
}

func TestWhatIsHaltedOrUnknownIsNotReplayed(t *testing.T) {
	s := subscribe(t, nil)
	d, _ := delivered(t, s, nil, "1")
	paused := trigger("a", s.URL)
	paused.Paused = true
	if err := d.Upsert(t.Context(), paused); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Replay(t.Context(), readerA, 1, 1, time.Hour, nil); !errors.Is(err, ErrHalted) {
		t.Error(err)
	}
	if _, err := d.Replay(t.Context(), "another", 1, 1, time.Hour, nil); !errors.Is(err, ErrNoReader) {
		t.Error(err)
	}
}
