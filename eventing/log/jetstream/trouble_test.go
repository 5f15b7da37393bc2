package jetstream

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/logtest"
	"ebb.dev/ebb/eventing/model"
)

// TestLostAnswerStoresNothingTwice has a commit whose answer comes too late: the sender is told to try again, and does.
func TestLostAnswerStoresNothingTwice(t *testing.T) {
	l := openTest(t, Options{Relaxed: true})
	ensureTest(t, l, model.Limits{Dedupe: time.Hour})
	appendTest(t, l, "1", 0)
	timeout := l.store.timeout
	l.store.timeout = time.Nanosecond
	if _, err := l.Append(t.Context(), testStream, logtest.Event("s", "2", 0)); !errors.Is(err, log.ErrUnavailable) {
		t.Fatal(err)
	}
	l.store.timeout = timeout
	again := appendTest(t, l, "2", 0)
	third := appendTest(t, l, "3", 0)
	if again != 2 || third != 3 {
		t.Fatalf("positions %d and %d", again, third)
	}
	if err := l.Keep(t.Context(), testStream, "r", 1, []byte("a")); err != nil {
		t.Fatal(err)
	}
	l.store.timeout = time.Nanosecond
	if err := l.Keep(t.Context(), testStream, "r", 2, []byte("b")); !errors.Is(err, log.ErrUnavailable) {
		t.Fatal(err)
	}
	l.store.timeout = timeout
	if err := l.Keep(t.Context(), testStream, "r", 3, []byte("c")); err != nil {
		t.Fatal(err)
	}
	if state, err := l.Kept(t.Context(), testStream, "r"); string(state) != "c" || err != nil {
		t.Fatalf("%q, %v", state, err)
	}
}

// TestPressureIsToldBeforeItHurts has a stream fill up, and what was read be dropped: both are announced.
func TestPressureIsToldBeforeItHurts(t *testing.T) {
	var told []string
	c := &clock{at: time.Now()}
	var l *Log
	l = openTest(t, Options{Relaxed: true, Now: c.now, Notify: func(n Notice) {
		if n.Dropping > 0 {
			oldest, _, err := l.Bounds(t.Context(), testStream)
			told = append(told, fmt.Sprint("dropping, oldest is still ", oldest, " ", err))
			return
		}
		told = append(told, fmt.Sprint("level ", n.Level))
	}})
	ensureTest(t, l, model.Limits{Unread: 10_000, Age: time.Hour})
	if err := l.Keep(t.Context(), testStream, "r", 0, nil); err != nil {
		t.Fatal(err)
	}
	var last log.Position
	for i := 0; ; i++ {
		p, err := l.Append(t.Context(), testStream, logtest.Event("s", fmt.Sprint(i), 1000))
		if errors.Is(err, log.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last = p[0]
	}
	c.sleep(2 * time.Hour)
	if err := l.Keep(t.Context(), testStream, "r", last, nil); err != nil {
		t.Fatal(err)
	}
	l.Retain(t.Context())
	want := []string{"level 1", "level 2", "level 0", "dropping, oldest is still 1 <nil>"}
	if !slices.Equal(told, want) {
		t.Fatalf("%q, want %q", told, want)
	}
	if oldest, next, err := l.Bounds(t.Context(), testStream); oldest != next || err != nil {
		t.Fatal(oldest, next, err)
	}
}

// TestBytesBoundWhatIsReadOnly keeps as much of what was read as the limit says, in whole commits.
func TestBytesBoundWhatIsReadOnly(t *testing.T) {
	l := openTest(t, Options{Relaxed: true})
	ensureTest(t, l, model.Limits{Bytes: 20_000})
	for i := range 100 {
		appendTest(t, l, fmt.Sprint(i), 1000)
	}
	l.Retain(t.Context())
	oldest, next, err := l.Bounds(t.Context(), testStream)
	if kept := next - oldest; err != nil || kept < 15 || kept > 20 {
		t.Fatalf("%d events are kept, %v", kept, err)
	}
}

// TestLostPositionsAreNotGivenAgain has a reader that has read further than the stream goes, as after a crash of the machine in relaxed mode.
func TestLostPositionsAreNotGivenAgain(t *testing.T) {
	o := Options{Dir: t.TempDir(), Relaxed: true}
	l := openTest(t, o)
	ensureTest(t, l, model.Limits{})
	appendTest(t, l, "1", 0)
	if err := l.Keep(t.Context(), testStream, "r", 7, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openTest(t, o)
	enough := errors.New("enough")
	followed := make(chan error)
	go func() {
		followed <- l.Follow(t.Context(), testStream, 8, func(r log.Record) error {
			return fmt.Errorf("%w: %d %s", enough, r.Position, r.Event.ID())
		})
	}()
	if p := appendTest(t, l, "2", 0); p != 8 {
		t.Errorf("position %d", p)
	}
	if err := <-followed; !errors.Is(err, enough) || err.Error() != "enough: 8 2" {
		t.Error(err)
	}
	for p, want := range map[log.Position]int{1: 1, 2: 0, 7: 0, 8: 1} {
		if records, err := l.Get(t.Context(), testStream, p); err != nil || len(records) != want {
			t.Errorf("position %d: %v, %v", p, records, err)
		}
	}
}
