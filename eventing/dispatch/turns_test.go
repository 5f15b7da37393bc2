package dispatch

import (
	"net/http"
	"slices"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

func TestDeliveriesOverlapOnceEventsHaveWaited(t *testing.T) {
	at := func(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }
	var r turns
	r.resume(at(0))
	for _, c := range []struct {
		now  int
		want bool
	}{{10, false}, {60, false}, {109, false}, {110, true}, {111, true}} {
		if r.crowd(at(c.now), few(5), 10, 100); r.overlap != c.want {
			t.Errorf("crowded since 10 ms, at %d ms: overlap %v", c.now, r.overlap)
		}
	}
	r.drained(at(200), true)
	if r.resume(at(1199)); !r.overlap {
		t.Error("takes turns again before it has been quiet for long")
	}
	r.drained(at(1300), true)
	if r.resume(at(2300)); r.overlap {
		t.Error("still overlaps after it has been quiet")
	}
	r.crowd(at(2310), few(5), 10, 100)
	r.drained(at(2320), false)
	if again := r.crowd(at(2500), few(5), 10, 100); r.overlap || !again.Equal(at(2600)) {
		t.Errorf("waiting begins anew once nothing waited: %v %v", again, r.overlap)
	}
}

func few(n int) func() load { return func() load { return load{waiting: n} } }

func TestABacklogTakesAsManyDeliveriesAsItNeedsToGetDone(t *testing.T) {
	at := func(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }
	for _, c := range []struct {
		name string
		has  load
		each time.Duration // 0: nothing was delivered yet
		most int
		want []int // slots after 100, 200, … ms
	}{
		{"a second's worth of work for 40", load{waiting: 400}, 100 * time.Millisecond, 256, []int{10, 20, 40, 40}},
		{"and 200 more every second", load{400, 200}, 100 * time.Millisecond, 256, []int{10, 20, 40, 60, 60}},
		{"quick ones need few", load{waiting: 1000}, time.Millisecond, 256, []int{10, 10, 10}},
		{"no more than there may be", load{waiting: 100_000}, 100 * time.Millisecond, 256, []int{10, 20, 40, 80, 160, 256, 256}},
		{"a reader that names a number", load{waiting: 100_000}, 100 * time.Millisecond, 10, []int{10, 10, 10}},
		{"before the first answer: as many as wait", load{waiting: 30}, 0, 256, []int{10, 20, 30, 30}},
	} {
		var r turns
		r.resume(at(0))
		r.crowd(at(0), func() load { return c.has }, 10, c.most)
		for i, want := range c.want {
			now := at(100 * (i + 1))
			if c.each > 0 {
				r.delivered(now, c.each+time.Duration(i)*time.Second) // the longer ones are the queue's, not the subscriber's
			}
			r.crowd(now, func() load { return c.has }, 10, c.most)
			if r.slots != want {
				t.Errorf("%s: after %d ms %d slots, want %d", c.name, 100*(i+1), r.slots, want)
			}
		}
	}
}

func TestASubscriberThatHasTooMuchGetsHalf(t *testing.T) {
	at := func(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }
	r := turns{overlap: true, slots: 80, changed: at(0)}
	for _, c := range []struct{ now, want int }{{50, 80}, {100, 40}, {110, 40}, {200, 20}, {300, 10}, {400, 10}} {
		if r.refused(at(c.now), 10); r.slots != c.want {
			t.Errorf("refused at %d ms: %d slots, want %d", c.now, r.slots, c.want)
		}
	}
}

func TestTheShortestDeliveryIsForgottenAfterAWhile(t *testing.T) {
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	var s shortest
	if _, known := s.at(at(0)); known {
		t.Error("known before the first")
	}
	s.add(at(1), 20*time.Millisecond)
	s.add(at(2), 10*time.Millisecond)
	s.add(at(12), 30*time.Millisecond)
	if d, _ := s.at(at(13)); d != 10*time.Millisecond {
		t.Error("the window before counts:", d)
	}
	if d, _ := s.at(at(23)); d != 30*time.Millisecond {
		t.Error("the one before that does not:", d)
	}
	if _, known := s.at(at(60)); known {
		t.Error("known after a long pause")
	}
}

// A subscriber that keeps pace gets events one after the other without asking for order; one that does not, gets them at once.
func TestEventsDoNotOvertakeEachOtherWhileTheSubscriberKeepsPace(t *testing.T) {
	c := clocktesting.NewFakeClock(epoch)
	m := newMemory(c.Now, broker)
	first := make(chan struct{})
	s := subscribe(t, func(w http.ResponseWriter, _ *http.Request, id string, _ int) {
		if id == "000001" {
			<-first
		}
	})
	reader := trigger("turns", s.URL)
	r := run(t, Options{Log: m, Clock: c}, reader)
	publish(t, m, numbered(1, 40)...)
	eventually(t, "all are open", func() bool { return r.look(reader.ID).Open == 40 })
	if now := r.look(reader.ID); now.InFlight != 1 {
		t.Errorf("%+v", now)
	}
	close(first)
	if got := s.waitFor(t, 40); !slices.Equal(got, numbered(1, 40)) {
		t.Errorf("order: %v", got)
	}
	eventually(t, "all are delivered", func() bool { return r.look(reader.ID).Delivered == 40 })
}
