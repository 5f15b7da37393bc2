package dispatch

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clocktesting "k8s.io/utils/clock/testing"

	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

func TestEveryReaderGetsWhatPassesItsFilter(t *testing.T) {
	m := newMemory(time.Now, broker)
	all, some := subscribe(t, nil), subscribe(t, nil)
	a, b := trigger("all", all.URL), trigger("some", some.URL)
	b.Filter = only{"000002", "000007"}
	r := run(t, Options{Log: m}, a, b)
	publish(t, m, numbered(1, 10)...)
	if got := sorted(all.waitFor(t, 10)); !slices.Equal(got, numbered(1, 10)) {
		t.Error(got)
	}
	if got := sorted(some.waitFor(t, 2)); !slices.Equal(got, []string{"000002", "000007"}) {
		t.Error(got)
	}
	eventually(t, "both are done", func() bool { return r.look(a.ID).Low == 10 && r.look(b.ID).Low == 10 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if m.follows > 20 {
		t.Errorf("%d records read for 10 events", m.follows)
	}
}

func TestOrderedReadersGetTheStreamsOrder(t *testing.T) {
	m := newMemory(time.Now, broker)
	s := subscribe(t, func(w http.ResponseWriter, _ *http.Request, id string, nth int) {
		if id == "000003" && nth < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	reader := trigger("ordered", s.URL)
	reader.Ordered, reader.Delivery.Delay = true, time.Millisecond
	run(t, Options{Log: m}, reader)
	publish(t, m, numbered(1, 50)...)
	want := slices.Insert(numbered(1, 50), 3, "000003", "000003")
	if got := s.waitFor(t, 52); !slices.Equal(got, want) {
		t.Error(got)
	}
}

func TestPartitionKeysKeepTheirOrderAndHoldUpNobodyElse(t *testing.T) {
	m := newMemory(time.Now, broker)
	release := make(chan struct{})
	s := subscribe(t, func(_ http.ResponseWriter, _ *http.Request, id string, _ int) {
		if id == "a1" {
			<-release
		}
	})
	reader := trigger("keyed", s.URL)
	reader.Ordered = true
	run(t, Options{Log: m}, reader)
	for _, id := range []string{"a1", "a2", "b1", "b2", "b3"} {
		if _, err := m.Append(t.Context(), broker, newEvent(id, "partitionkey", id[:1])); err != nil {
			t.Fatal(err)
		}
	}
	got := s.waitFor(t, 4)
	if slices.Contains(got, "a2") {
		t.Error("a2 has overtaken a1:", got)
	}
	close(release)
	got = s.waitFor(t, 5)
	if b := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return id[0] == 'a' }); !slices.Equal(b, []string{"b1", "b2", "b3"}) || got[4] != "a2" {
		t.Error(got)
	}
}

func TestRetriesKeepTheirSchedule(t *testing.T) {
	c := clocktesting.NewFakeClock(epoch)
	m := newMemory(c.Now, broker)
	s := subscribe(t, func(w http.ResponseWriter, _ *http.Request, _ string, nth int) {
		if nth < 4 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	reader := trigger("retried", s.URL)
	reader.Delivery.Backoff, reader.Delivery.Delay = model.Exponential, 10*time.Second
	r := run(t, Options{Log: m, Clock: c}, reader)
	publish(t, m, "1")
	for i, wait := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second} {
		eventually(t, "an attempt failed", func() bool { return r.look(reader.ID).Retried == uint64(i+1) && r.look(reader.ID).InFlight == 0 })
		if due := r.look(reader.ID).NextAttempt; due.Sub(c.Now()) != wait {
			t.Fatalf("retry %d is due in %v, want %v", i+1, due.Sub(c.Now()), wait)
		}
		c.Step(wait - time.Nanosecond)
		if n := len(s.got()); n != i+1 {
			t.Fatalf("%d attempts before the retry is due", n)
		}
		c.Step(time.Nanosecond)
		s.waitFor(t, i+2)
	}
	eventually(t, "it is delivered", func() bool { return r.look(reader.ID).Delivered == 1 && r.look(reader.ID).Open == 0 })
}

func TestRetryAfterIsHeeded(t *testing.T) {
	c := clocktesting.NewFakeClock(epoch)
	m := newMemory(c.Now, broker)
	s := subscribe(t, func(w http.ResponseWriter, _ *http.Request, _ string, nth int) {
		if nth == 1 {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	reader := trigger("patient", s.URL)
	bound := time.Minute
	reader.Delivery.RetryAfterMax = &bound
	r := run(t, Options{Log: m, Clock: c}, reader)
	publish(t, m, "1")
	eventually(t, "it is to be tried again", func() bool { return r.look(reader.ID).NextAttempt.Equal(epoch.Add(time.Minute)) })
	c.Step(time.Minute)
	s.waitFor(t, 2)
}

func TestASlowNeighbourDelaysNobody(t *testing.T) {
	m := newMemory(time.Now, broker)
	hold := make(chan struct{})
	stuck := subscribe(t, func(http.ResponseWriter, *http.Request, string, int) { <-hold })
	down := subscribe(t, nil)
	down.Close()
	quick := subscribe(t, nil)
	a, b, c := trigger("stuck", stuck.URL), trigger("down", down.URL), trigger("quick", quick.URL)
	r := run(t, Options{Log: m, Window: 64}, a, b, c)
	ids := numbered(1, 1000)
	publish(t, m, ids...)
	if got := sorted(quick.waitFor(t, 1000)); !slices.Equal(got, ids) {
		t.Error("the quick one got", len(got))
	}
	for _, id := range []model.ReaderID{a.ID, b.ID} {
		if s := r.look(id); !s.Behind || s.Open > 64 {
			t.Errorf("%s: %+v", id, s)
		}
	}
	if pending, _ := r.Backlog(a.ID); pending != 1000 {
		t.Errorf("backlog of the stuck one: %d", pending)
	}
	close(hold)
	if got := sorted(stuck.waitFor(t, 1000)); !slices.Equal(got, ids) {
		t.Error("the stuck one got", len(got))
	}
	eventually(t, "it is up again", func() bool { s := r.look(a.ID); return s.Low == 1000 && !s.Behind })
}

func TestReadersBeginWhereTheySay(t *testing.T) {
	c := clocktesting.NewFakeClock(epoch)
	for name, x := range map[string]struct {
		start model.Start
		first int
	}{
		"now": {model.Start{}, 6}, "earliest": {model.Start{Earliest: true}, 1}, "last": {model.Start{Last: true}, 5}, "time": {model.Start{Since: epoch.Add(90 * time.Second)}, 3},
		"position": {model.Start{Position: 4}, 4}, "later": {model.Start{Position: 7}, 7},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory(c.Now, broker)
			for i, id := range numbered(1, 5) {
				publish(t, m, id)
				m.streams[broker].records[i].Stored = epoch.Add(time.Duration(i) * time.Minute)
			}
			s := subscribe(t, nil)
			reader := trigger(name, s.URL)
			reader.Start = x.start
			run(t, Options{Log: m}, reader)
			publish(t, m, numbered(6, 8)...)
			if got := sorted(s.waitFor(t, 9-x.first)); !slices.Equal(got, numbered(x.first, 8)) {
				t.Error(got)
			}
		})
	}
}

// A log that was lost with its volume has nothing but what came since, and that before its readers were made again.
func TestAReaderOfALogThatWasLostMissesNothingThatCameSince(t *testing.T) {
	m := newMemory(time.Now, broker)
	publish(t, m, numbered(1, 3)...)
	s := subscribe(t, nil)
	reader := trigger("begun", s.URL)
	reader.Start, reader.Begun = model.Start{Position: 1000}, true
	r := run(t, Options{Log: m}, reader)
	if got := sorted(s.waitFor(t, 3)); !slices.Equal(got, numbered(1, 3)) {
		t.Error(got)
	}
	eventually(t, "they are done with", func() bool { return r.look(reader.ID).Low == 3 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	again := run(t, Options{Log: m}, reader)
	publish(t, m, numbered(4, 4)...)
	eventually(t, "the fourth is done with", func() bool { return again.look(reader.ID).Low == 4 })
	if got := s.got(); len(got) != 4 {
		t.Errorf("a position that is kept is where it goes on: %v", got)
	}
}

func TestPausedReadersKeepTheirPlace(t *testing.T) {
	m := newMemory(time.Now, broker)
	s := subscribe(t, nil)
	reader := trigger("paused", s.URL)
	reader.Paused = true
	r := run(t, Options{Log: m, Window: 16}, reader)
	publish(t, m, numbered(1, 100)...)
	eventually(t, "its window is full", func() bool { return r.look(reader.ID).Behind })
	resumed := reader
	resumed.Paused = false
	if err := r.Upsert(t.Context(), resumed); err != nil {
		t.Fatal(err)
	}
	s.waitFor(t, 100)
	eventually(t, "all is done", func() bool { return r.look(reader.ID).Low == 100 })
	if err := r.Upsert(t.Context(), reader); err != nil {
		t.Fatal(err)
	}
	publish(t, m, numbered(101, 110)...)
	eventually(t, "they are open", func() bool { return r.look(reader.ID).Open == 10 })
	if n := len(s.got()); n != 100 {
		t.Errorf("%d deliveries while paused", n-100)
	}
}

func TestConcurrencyAndRateAreKept(t *testing.T) {
	c := clocktesting.NewFakeClock(epoch)
	m := newMemory(c.Now, broker)
	hold := make(chan struct{})
	s := subscribe(t, func(http.ResponseWriter, *http.Request, string, int) { <-hold })
	reader := trigger("bounded", s.URL)
	reader.Concurrency = 3
	r := run(t, Options{Log: m, Clock: c}, reader)
	publish(t, m, numbered(1, 20)...)
	eventually(t, "all are open", func() bool { return r.look(reader.ID).Open == 20 })
	c.Step(headStart)
	s.waitFor(t, 3)
	if now := r.look(reader.ID); now.InFlight != 3 {
		t.Errorf("%+v", now)
	}
	reader.Rate = 10
	if err := r.Upsert(t.Context(), reader); err != nil {
		t.Fatal(err)
	}
	close(hold)
	begun := c.Now()
	advance(t, c, 10*time.Millisecond, "all are delivered", func() bool { return r.look(reader.ID).Delivered == 20 })
	if took := c.Since(begun); took < 1500*time.Millisecond {
		t.Errorf("17 deliveries at 10 in a second took %v", took)
	}
}

func TestRepliesOfTriggersGoBackWithAHopLess(t *testing.T) {
	m := newMemory(time.Now, broker)
	s := subscribe(t, func(w http.ResponseWriter, _ *http.Request, id string, _ int) {
		n, _ := strconv.Atoi(id)
		h := w.Header()
		h.Set("Ce-Specversion", "1.0")
		h.Set("Ce-Id", strconv.Itoa(n+1))
		h.Set("Ce-Source", "/reply")
		h.Set("Ce-Type", "reply")
		h.Set("Ce-Knativebrokerttl", "255")
	})
	reader := trigger("loop", s.URL)
	r := run(t, Options{Log: m}, reader)
	e := newEvent("1")
	e.SetExtension(extension.TTL, int32(4))
	if _, err := m.Append(t.Context(), broker, e); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last reply is dropped", func() bool { return r.look(reader.ID).Expired == 1 })
	if got := s.got(); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Error(got)
	}
	for _, h := range s.headers() {
		if h.Get("Ce-Knativebrokerttl") != "" || h.Get("Prefer") != "reply" {
			t.Error(h)
		}
	}
}

func TestRepliesOfSubscriptionsGoToTheirDestinationThroughRestarts(t *testing.T) {
	c := clocktesting.NewFakeClock(epoch)
	m := newMemory(c.Now, broker)
	s := subscribe(t, replying)
	sink := subscribe(t, func(w http.ResponseWriter, _ *http.Request, _ string, nth int) {
		if nth < 3 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	reader := trigger("subscription", s.URL)
	reader.Kind, reader.Reply = model.Subscription, model.Destination{URL: sink.URL}
	r := run(t, Options{Log: m, Clock: c}, reader)
	publish(t, m, "1")
	eventually(t, "the reply is to be tried again", func() bool { s := r.look(reader.ID); return s.Retried == 1 && s.InFlight == 0 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = run(t, Options{Log: m, Clock: c}, reader)
	advance(t, c, 500*time.Millisecond, "the reply is delivered", func() bool { return r.look(reader.ID).Replied == 1 })
	if got := s.got(); !slices.Equal(got, []string{"1"}) {
		t.Error("the subscriber got", got)
	}
	if got := sink.got(); !slices.Equal(got, []string{"reply-1", "reply-1", "reply-1"}) {
		t.Error("the sink got", got)
	}
}

func TestDeadEventsGoToTheSinkOrOnTheList(t *testing.T) {
	c := clocktesting.NewFakeClock(epoch)
	m := newMemory(c.Now, broker)
	broken := subscribe(t, func(w http.ResponseWriter, _ *http.Request, _ string, _ int) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte("it is\nbroken"))
	})
	refusing := subscribe(t, status(http.StatusBadRequest))
	sink := subscribe(t, func(w http.ResponseWriter, _ *http.Request, _ string, nth int) {
		if nth == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	withSink, without, badSink := trigger("sink", broken.URL), trigger("none", refusing.URL), trigger("bad-sink", refusing.URL)
	withSink.Delivery.DeadLetter.URL = sink.URL
	badSink.Delivery.DeadLetter.URL = broken.URL
	r := run(t, Options{Log: m, Clock: c}, withSink, without, badSink)
	publish(t, m, "1")
	advance(t, c, 500*time.Millisecond, "all three gave up", func() bool {
		return r.look(withSink.ID).DeadSink == 1 && r.look(without.ID).DeadKept == 1 && r.look(badSink.ID).DeadKept == 1
	})
	h := sink.headers()[1]
	if h.Get("Ce-Knativeerrordest") != broken.URL || h.Get("Ce-Knativeerrorcode") != "500" || h.Get("Ce-Knativeerrordata") != "it%20is%20broken" || h.Get("Ce-Id") != "1" {
		t.Error(h)
	}
	if got := refusing.got(); !slices.Equal(got, []string{"1", "1"}) {
		t.Error("a refusal was tried again:", got)
	}
	for _, id := range []model.ReaderID{without.ID, badSink.ID} {
		dead := m.stored(DeadStream(id))
		if len(dead) != 1 || dead[0].Extensions()[extension.ErrorCode] != int32(400) || dead[0].Extensions()[extension.ErrorDest] != refusing.URL {
			t.Error(id, dead)
		}
	}
	eventually(t, "nothing is open", func() bool { return r.look(withSink.ID).Open+r.look(without.ID).Open+r.look(badSink.ID).Open == 0 })
}

func TestRemovedReadersAreForgotten(t *testing.T) {
	m := newMemory(time.Now, broker)
	s := subscribe(t, status(http.StatusBadRequest))
	reader := trigger("gone", s.URL)
	r := run(t, Options{Log: m}, reader)
	publish(t, m, "1")
	eventually(t, "it is on the list", func() bool { return r.look(reader.ID).DeadKept == 1 })
	if err := r.Set(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if state, _ := m.Kept(t.Context(), broker, reader.ID); state != nil || len(m.stored(DeadStream(reader.ID))) != 0 || len(r.Snapshot()) != 0 {
		t.Error("it is still there")
	}
	publish(t, m, "2")
	if err := r.Upsert(t.Context(), reader); err != nil {
		t.Fatal(err)
	}
	if got := s.waitFor(t, 3); !reflect.DeepEqual(sorted(got), []string{"1", "1", "2"}) {
		t.Error(got)
	}
}

func TestAChangeOfOrderLosesNothing(t *testing.T) {
	m := newMemory(time.Now, broker)
	s := subscribe(t, func(http.ResponseWriter, *http.Request, string, int) { time.Sleep(200 * time.Microsecond) })
	reader := trigger("changing", s.URL)
	r := run(t, Options{Log: m, Window: 32}, reader)
	for i := range 10 {
		publish(t, m, numbered(100*i+1, 100*i+100)...)
		reader.Ordered = !reader.Ordered
		if err := r.Upsert(t.Context(), reader); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all is done", func() bool { return r.look(reader.ID).Low == 1000 })
	if got := slices.Compact(sorted(s.got())); !slices.Equal(got, numbered(1, 1000)) {
		t.Error(len(got))
	}
}

func TestALogThatLostItsEndSkipsNothingNew(t *testing.T) {
	m := newMemory(time.Now, broker)
	s := subscribe(t, nil)
	reader := trigger("ahead", s.URL)
	r := run(t, Options{Log: m}, reader)
	publish(t, m, numbered(1, 10)...)
	eventually(t, "all is done", func() bool { return r.look(reader.ID).Low == 10 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	m.streams[broker].records = m.streams[broker].records[:4]
	publish(t, m, "new")
	run(t, Options{Log: m}, reader)
	publish(t, m, "newer")
	if got := s.waitFor(t, 11); !slices.Contains(got, "newer") {
		t.Error(got)
	}
}

func TestRunEndsWhileALogFails(t *testing.T) {
	m := newMemory(time.Now, broker)
	process := &mortal{Log: m}
	s := subscribe(t, nil)
	r := run(t, Options{Log: process}, trigger("one", s.URL))
	process.crash()
	publish(t, m, "1")
	s.waitFor(t, 1)
	if err := r.stop(); err == nil {
		t.Error("Run says that positions were kept")
	}
	if err := r.Run(context.Background()); err == nil {
		t.Error("it ran twice")
	}
}

func TestMetricsSayWhatBecameOfEvents(t *testing.T) {
	m := newMemory(time.Now, broker)
	s := subscribe(t, func(w http.ResponseWriter, _ *http.Request, id string, _ int) {
		if id == "000002" {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	registry := prometheus.NewPedanticRegistry()
	reader := trigger("measured", s.URL)
	r := run(t, Options{Log: m, Registerer: registry}, reader)
	publish(t, m, numbered(1, 3)...)
	eventually(t, "all is done", func() bool { return r.look(reader.ID).Low == 3 })
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, l := range metric.GetLabel() {
				if l.GetName() == "to" || l.GetName() == "what" {
					name += " " + l.GetValue()
				}
			}
			got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	want := map[string]float64{
		"ebb_event_reader_matched_total": 3, "ebb_event_reader_filtered_total": 0, "ebb_event_reader_replayed_total": 0, "ebb_event_reader_paused": 0, "ebb_event_reader_delivery_latency_seconds": 2, "ebb_event_reader_delivered_total": 2, "ebb_event_reader_retried_total": 0,
		"ebb_event_reader_replied_total": 0, "ebb_event_reader_dead_total sink": 0, "ebb_event_reader_dead_total list": 1,
		"ebb_event_reader_dropped_total expired_reply": 0, "ebb_event_reader_dropped_total malformed_reply": 0,
		"ebb_event_reader_dropped_total lost_event": 0, "ebb_event_reader_in_flight_deliveries": 0, "ebb_event_reader_open_events": 0,
		"ebb_event_reader_lag_positions": 0, "ebb_event_reader_lag_seconds": 0, "ebb_event_reader_attempt_duration_seconds": 3,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

var _ log.Log = (*memory)(nil)
