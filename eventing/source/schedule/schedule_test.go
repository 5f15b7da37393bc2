package schedule

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	testclock "k8s.io/utils/clock/testing"
)

func TestNextIsTheFirstTimeAfter(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	tests := []struct{ expression, zone, after, want string }{
		{"*/1 * * * *", "", "2026-11-21T08:00:00Z", "2026-11-21T08:01:00Z"},
		{"*/1 * * * *", "", "2026-11-21T08:00:59Z", "2026-11-21T08:01:00Z"},
		{"0 * * * *", "", "2026-11-21T08:00:01Z", "2026-11-21T09:00:00Z"},
		{"*/10 * * * * *", "", "2026-11-21T08:00:01Z", "2026-11-21T08:00:10Z"},
		{"0 9 * * *", "Europe/Paris", "2026-11-21T07:00:00Z", "2026-11-21T08:00:00Z"},
		{"@hourly", "", "2026-11-21T08:10:00Z", "2026-11-21T09:00:00Z"},
	}
	for _, tt := range tests {
		got, err := Next(tt.expression, tt.zone, at(tt.after))
		if err != nil || !got.Equal(at(tt.want)) {
			t.Errorf("%q %q after %s: %s, %v; want %s", tt.expression, tt.zone, tt.after, got, err, tt.want)
		}
	}
}

func TestWhatIsNoScheduleIsTold(t *testing.T) {
	for _, tt := range [][2]string{{"every day", ""}, {"* * *", ""}, {"* * * * *", "Mars/Olympus"}} {
		if err := Check(tt[0], tt[1]); err == nil {
			t.Errorf("%q is taken", tt)
		}
	}
}

func TestATimeHasOneEventHoweverOftenItIsSent(t *testing.T) {
	clock := testclock.NewFakeClock(time.Date(2026, 11, 21, 8, 0, 30, 0, time.UTC))
	sent := make(chan event.Event)
	answers := make(chan error)
	r := NewRunner(t.Context(), func(ctx context.Context, _ string, e event.Event) error {
		sent <- e
		return <-answers
	}, clock, slog.New(slog.DiscardHandler))
	defer r.Close()
	e := event.New()
	e.SetType("tick")
	e.SetSource("/cron")
	r.Set(Job{ID: "j", Expression: "* * * * *", Event: e, Sink: "http://sink"})
	step := func(d time.Duration) {
		for !clock.HasWaiters() {
			time.Sleep(time.Millisecond)
		}
		clock.Step(d)
	}
	step(30 * time.Second)
	first := <-sent
	answers <- errors.New("busy")
	step(firstRetry)
	again := <-sent
	answers <- nil
	if first.ID() != again.ID() || !first.Time().Equal(time.Date(2026, 11, 21, 8, 1, 0, 0, time.UTC)) {
		t.Errorf("%s at %s, then %s", first.ID(), first.Time(), again.ID())
	}
	step(time.Minute)
	next := <-sent
	answers <- nil
	if next.ID() == first.ID() {
		t.Errorf("two times with the id %s", next.ID())
	}
}

func FuzzSchedule(f *testing.F) {
	for _, seed := range []string{"* * * * *", "*/5 0-3 1,2 * MON", "@daily", "0 0 31 2 *", ""} {
		f.Add(seed)
	}
	now := time.Date(2026, 11, 21, 8, 0, 30, 0, time.UTC)
	f.Fuzz(func(t *testing.T, expression string) {
		if Check(expression, "") != nil {
			return
		}
		if next, err := Next(expression, "", now); err == nil && !next.After(now) {
			t.Errorf("%q: %s is not after %s", expression, next, now)
		}
	})
}
