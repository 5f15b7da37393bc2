package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/log/jetstream"
	"ebb.dev/ebb/eventing/model"
)

// openLog is the real log, in a folder.
func openLog(t testing.TB, dir string) *jetstream.Log {
	t.Helper()
	l, err := jetstream.Open(t.Context(), jetstream.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Ensure(t.Context(), model.Stream{ID: broker, Kind: model.Broker}); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTheRealLogLosesNothingThroughRestarts(t *testing.T) {
	dir := t.TempDir()
	quick, slow := subscribe(t, nil), subscribe(t, func(w http.ResponseWriter, _ *http.Request, id string, nth int) {
		if nth == 1 && id[5] == '7' {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	a, b, refused := trigger("quick", quick.URL), trigger("slow", slow.URL), trigger("refused", quick.URL+"/no")
	b.Ordered, b.Delivery.Delay = true, time.Millisecond
	refused.Filter, refused.Subscriber.URL = only{"000005"}, subscribe(t, status(http.StatusForbidden)).URL
	const events, rounds = 300, 3
	for i := range rounds {
		l := openLog(t, dir)
		r := run(t, Options{Log: l, Window: 64}, a, b, refused)
		for _, id := range numbered(events*i+1, events*i+events) {
			if _, err := l.Append(t.Context(), broker, newEvent(id)); err != nil {
				t.Fatal(err)
			}
		}
		if i == rounds-1 {
			eventually(t, "all is done", func() bool { return r.look(a.ID).Low == events*rounds && r.look(b.ID).Low == events*rounds })
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			dead, err := l.Get(t.Context(), DeadStream(refused.ID), 1)
			if err != nil || len(dead) != 1 || dead[0].Event.ID() != "000005" {
				t.Errorf("the list of dead events: %v %v", dead, err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := sorted(quick.got()); !slices.Equal(got, numbered(1, events*rounds)) {
		t.Errorf("the quick one got %d", len(got))
	}
	if got := slices.Compact(slow.got()); !slices.Equal(got, numbered(1, events*rounds)) {
		t.Errorf("the ordered one got %d", len(got))
	}
}

func TestTheRealLogKeepsRepliesApartThroughRestarts(t *testing.T) {
	dir := t.TempDir()
	s := subscribe(t, replying)
	up := false
	sink := subscribe(t, func(w http.ResponseWriter, _ *http.Request, _ string, _ int) {
		if !up {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	reader := trigger("subscription", s.URL)
	reader.Kind, reader.Reply = model.Subscription, model.Destination{URL: sink.URL}
	reader.Delivery.Delay = 20 * time.Millisecond
	reader.Delivery.Retry = 1000
	l := openLog(t, dir)
	r := run(t, Options{Log: l}, reader)
	if _, err := l.Append(t.Context(), broker, newEvent("1"), newEvent("2")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replies are tried again", func() bool { return r.look(reader.ID).Retried >= 4 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	up = true
	l = openLog(t, dir)
	defer func() { _ = l.Close() }()
	r = run(t, Options{Log: l}, reader)
	eventually(t, "the replies are delivered", func() bool { return r.look(reader.ID).Replied == 2 })
	if got := sorted(s.got()); !slices.Equal(got, []string{"1", "2"}) {
		t.Error("the subscriber got", got)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkThroughTheRealLog publishes with 32 senders while one reader gets everything over loopback.
func BenchmarkThroughTheRealLog(b *testing.B) {
	for _, relaxed := range []bool{false, true} {
		b.Run(fmt.Sprintf("relaxed=%v", relaxed), func(b *testing.B) {
			l, err := jetstream.Open(b.Context(), jetstream.Options{Dir: b.TempDir(), Relaxed: relaxed})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			if err := l.Ensure(b.Context(), model.Stream{ID: broker, Kind: model.Broker}); err != nil {
				b.Fatal(err)
			}
			url := listen(b, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })})
			s := send.New(send.Options{})
			defer s.Close()
			d := New(Options{Log: l, Sender: s})
			reader := trigger("one", url)
			if err := d.Upsert(b.Context(), reader); err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- d.Run(ctx) }()
			e := newEvent("1")
			_ = e.SetData("application/json", make([]byte, 512))
			b.ResetTimer()
			work := make(chan *event.Event)
			for range 32 {
				go func() {
					for e := range work {
						_, _ = l.Append(ctx, broker, e)
					}
				}()
			}
			for range b.N {
				work <- e
			}
			close(work)
			for d.Snapshot()[0].Delivered < uint64(b.N) {
				time.Sleep(100 * time.Microsecond)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			cancel()
			<-ended
		})
	}
}
