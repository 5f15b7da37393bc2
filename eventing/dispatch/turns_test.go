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
	r := turns{width: &width{}}
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

// What waits is counted, which takes time, when it is of use.
func TestHowMuchWaitsIsAskedOnceAStep(t *testing.T) {
	r := turns{width: &width{}}
	asked := 0
	for ms := range 1000 {
		r.crowd(epoch.Add(time.Duration(ms)*time.Millisecond), func() load { asked++; return load{waiting: 5} }, 10, 100)
	}
	if asked != 8 { // after 200, 300, … ms
		t.Errorf("asked %d times", asked)
	}
}

func few(n int) func() load { return func() load { return load{waiting: n} } }

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
