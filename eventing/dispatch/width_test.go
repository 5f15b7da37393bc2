package dispatch

import (
	"testing"
	"time"
)

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
		{"before the first answer they are waited for", load{waiting: 30}, 0, 256, []int{10, 10, 10}},
	} {
		r := turns{width: &width{}}
		r.resume(at(0))
		r.crowd(at(0), func() load { return c.has }, 10, c.most)
		for i, want := range c.want {
			now := at(100 * (i + 1))
			if c.each > 0 {
				r.delivered(now, c.each+time.Duration(i)*time.Second) // the longer ones are the queue's, not the subscriber's
			}
			r.crowd(now, func() load { return c.has }, 10, c.most)
			if got := r.limit(10); got != want {
				t.Errorf("%s: after %d ms %d slots, want %d", c.name, 100*(i+1), got, want)
			}
		}
	}
}

// A subscriber delivers what it can however many are on their way to it, until it has more replicas.
func TestMoreAtOnceThatDoNotHelpAreTakenBack(t *testing.T) {
	at := func(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }
	for _, c := range []struct {
		name string
		// bears is how many the subscriber delivers in 100 ms with so many at once.
		bears func(ms, slots int) int
		want  []int // slots after 100, 200, … ms
	}{
		{"as many as it is asked", func(_, slots int) int { return 5 * slots }, []int{20, 40, 80, 160, 200, 200}},
		{"no more than 100", func(_, slots int) int { return min(5*slots, 100) }, []int{20, 40, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 40, 20, 20}},
		{"more later", func(ms, slots int) int {
			if ms > 1200 {
				return 5 * slots
			}
			return min(5*slots, 100)
		}, []int{20, 40, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 40, 80, 160, 200}},
		{"too few to tell", func(_, slots int) int { return slots / 4 }, []int{10, 10, 10, 10, 20, 20, 20, 20, 40}},
	} {
		var w width
		w.begin(at(0), 10)
		for i, want := range c.want {
			ms := 100 * (i + 1)
			for range c.bears(ms, w.at()) {
				w.delivered(at(ms), 20*time.Millisecond)
			}
			if w.widen(at(ms), 10_000, 256); w.at() != want {
				t.Fatalf("%s: after %d ms %d slots, want %d", c.name, ms, w.at(), want)
			}
		}
	}
}

func TestTheFirstAnswersAreWaitedForUntilTheyAreLate(t *testing.T) {
	at := func(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }
	var w width
	w.begin(at(0), 10)
	for _, c := range []struct{ now, want int }{{100, 10}, {1900, 10}, {2000, 20}, {2050, 20}, {2100, 40}, {2200, 50}} {
		if w.widen(at(c.now), 50, 256); w.at() != c.want {
			t.Errorf("at %d ms %d slots, want %d", c.now, w.at(), c.want)
		}
	}
	if w.begin(at(2300), 10); w.at() != 50 {
		t.Error("another reader of the same Trigger finds the width that there is:", w.at())
	}
	if w.begin(at(3300), 10); w.at() != 10 {
		t.Error("after a pause it begins anew:", w.at())
	}
}

func TestASubscriberThatHasTooMuchGetsHalf(t *testing.T) {
	at := func(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }
	r := width{slots: 80, changed: at(0)}
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
