package schedule

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	testclock "k8s.io/utils/clock/testing"

	"ebb.dev/ebb/eventing/model"
)

// Whatever admission takes is sent: the runner reads schedules as crds/sources/schedule does.
func TestAnEventIsSentAtTheFirstTimeAfter(t *testing.T) {
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
		{"CRON_TZ=Europe/Paris 0 9 * * *", "", "2026-11-21T07:00:00Z", "2026-11-21T08:00:00Z"},
		{"@hourly", "", "2026-11-21T08:10:00Z", "2026-11-21T09:00:00Z"},
	}
	for _, tt := range tests {
		clock := testclock.NewFakeClock(at(tt.after))
		sent := make(chan event.Event, 1)
		r := NewRunner(t.Context(), func(_ context.Context, _ Job, e event.Event) error {
			sent <- e
			return nil
		}, clock, slog.New(slog.DiscardHandler))
		r.Set(Job{ID: "j", Expression: tt.expression, Zone: tt.zone, Event: event.New(), Sink: model.Destination{URL: "http://sink"}})
		step(clock, at(tt.want).Sub(at(tt.after)))
		if got := (<-sent).Time(); !got.Equal(at(tt.want)) {
			t.Errorf("%q %q after %s: %s, want %s", tt.expression, tt.zone, tt.after, got, tt.want)
		}
		r.Close()
	}
}

// step moves the clock on once somebody waits for it.
func step(clock *testclock.FakeClock, d time.Duration) {
	for !clock.HasWaiters() {
		time.Sleep(time.Millisecond)
	}
	clock.Step(d)
}

func TestATimeHasOneEventHoweverOftenItIsSent(t *testing.T) {
	clock := testclock.NewFakeClock(time.Date(2026, 11, 21, 8, 0, 30, 0, time.UTC))
	sent := make(chan event.Event)
	answers := make(chan error)
	r := NewRunner(t.Context(), func(ctx context.Context, _ Job, e event.Event) error {
		sent <- e
		return <-answers
	}, clock, slog.New(slog.DiscardHandler))
	defer r.Close()
	e := event.New()
	e.SetType("tick")
	e.SetSource("/cron")
	r.Set(Job{ID: "j", Expression: "* * * * *", Event: e, Sink: model.Destination{URL: "http://sink"}})
	step(clock, 30*time.Second)
	first := <-sent
	answers <- errors.New("busy")
	step(clock, firstRetry)
	again := <-sent
	answers <- nil
	if first.ID() != again.ID() || !first.Time().Equal(time.Date(2026, 11, 21, 8, 1, 0, 0, time.UTC)) {
		t.Errorf("%s at %s, then %s", first.ID(), first.Time(), again.ID())
	}
	step(clock, time.Minute)
	next := <-sent
	answers <- nil
	if next.ID() == first.ID() {
		t.Errorf("two times with the id %s", next.ID())
	}
}
