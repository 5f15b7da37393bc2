package dispatch

import (
	"net/http"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"ebb.dev/ebb/eventing/model"
)

// hangs is a subscriber that answers nothing before it is let go, at the latest as the test ends.
func hangs(t *testing.T) (s *subscriber, letGo func()) {
	gate := make(chan struct{})
	letGo = sync.OnceFunc(func() { close(gate) })
	s = subscribe(t, func(http.ResponseWriter, *http.Request, string, int) { <-gate })
	t.Cleanup(letGo)
	return s, letGo
}

func TestABacklogTellsAtOnceHowManyDeliveriesAreGoingToOverlap(t *testing.T) {
	c := clocktesting.NewFakeClock(epoch)
	m := newMemory(c.Now, broker)
	s, letGo := hangs(t)
	reader := trigger("backlog", s.URL)
	r := run(t, Options{Log: m, Clock: c}, reader)
	publish(t, m, numbered(1, 300)...)
	eventually(t, "all are open", func() bool { return r.look(reader.ID).Open == 300 })
	if all := r.Backlogs(); len(all) != 0 {
		t.Errorf("events take turns still: %+v", all)
	}
	c.Step(headStart)
	<-r.Crowded()
	eventually(t, "deliveries overlap", func() bool { return r.look(reader.ID).InFlight == 10 })
	want := model.Backlog{URL: s.URL, Waiting: 290, AtOnce: 256, Due: 246, PerSecond: 256}
	if all := r.Backlogs(); len(all) != 1 || all[0] != want {
		t.Errorf("%+v, want %+v", all, want)
	}
	paused := reader
	paused.Paused = true
	if err := r.Upsert(t.Context(), paused); err != nil {
		t.Fatal(err)
	}
	if all := r.Backlogs(); len(all) != 0 {
		t.Errorf("a paused Trigger has nothing that is to be delivered: %+v", all)
	}
	if err := r.Upsert(t.Context(), reader); err != nil {
		t.Fatal(err)
	}
	if all := r.Backlogs(); len(all) != 1 {
		t.Errorf("resumed: %+v", all)
	}
	letGo()
	s.waitFor(t, 300)
	eventually(t, "nothing waits", func() bool { return len(r.Backlogs()) == 0 })
	if n := len(r.crowds.all()); n != 0 {
		t.Errorf("%d readers are looked at that have nothing", n)
	}
}

func TestABacklogInOrderIsOfNoUseToMoreReplicasThanDeliveriesOverlap(t *testing.T) {
	for name, c := range map[string]struct {
		keyed, plain    int // events of ten partition keys, and of none, which make one lane more
		waiting, atOnce int
	}{
		"eleven lanes": {keyed: 40, plain: 20, waiting: 50, atOnce: 10},
		"one lane":     {plain: 40, waiting: 39, atOnce: 1},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakeClock(epoch)
			m := newMemory(clock.Now, broker)
			s, letGo := hangs(t)
			reader := trigger("ordered", s.URL)
			reader.Ordered = true
			r := run(t, Options{Log: m, Clock: clock}, reader)
			for _, id := range numbered(1, c.keyed) {
				if _, err := m.Append(t.Context(), broker, newEvent(id, "partitionkey", id[len(id)-1:])); err != nil {
					t.Fatal(err)
				}
			}
			all := c.keyed + c.plain
			publish(t, m, numbered(c.keyed+1, all)...)
			eventually(t, "all are open", func() bool { return r.look(reader.ID).Open == all && r.look(reader.ID).InFlight == c.atOnce })
			want := model.Backlog{URL: s.URL, Waiting: c.waiting, AtOnce: c.atOnce}
			if got := r.Backlogs(); len(got) != 1 || got[0] != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			letGo()
			s.waitFor(t, all)
		})
	}
}

// Workers that find nothing in their lanes are there for an instant; they asked for as many replicas.
func TestWorkersThatFindNothingAskForNoReplicas(t *testing.T) {
	clock := clocktesting.NewFakeClock(epoch)
	m := newMemory(clock.Now, broker)
	s, letGo := hangs(t)
	defer letGo()
	reader := trigger("ordered", s.URL)
	reader.Ordered = true
	r := run(t, Options{Log: m, Clock: clock}, reader)
	publish(t, m, numbered(1, 40)...)
	eventually(t, "one delivery is under way", func() bool { now := r.look(reader.ID); return now.Open == 40 && now.InFlight == 1 })
	for _, crowded := range r.crowds.all() {
		crowded.mu.Lock()
		crowded.busy += 9
		crowded.mu.Unlock()
	}
	want := model.Backlog{URL: s.URL, Waiting: 39, AtOnce: 1}
	if got := r.Backlogs(); len(got) != 1 || got[0] != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// An event that failed and waits for its next attempt asks for no replica meanwhile.
func TestWhatWaitsForARetryIsNoBacklog(t *testing.T) {
	c := clocktesting.NewFakeClock(epoch)
	m := newMemory(c.Now, broker)
	s := subscribe(t, status(http.StatusServiceUnavailable))
	reader := trigger("failing", s.URL)
	reader.Ordered, reader.Delivery.Delay = true, time.Hour
	r := run(t, Options{Log: m, Clock: c}, reader)
	publish(t, m, numbered(1, 5)...)
	eventually(t, "the first waits for its retry", func() bool { now := r.look(reader.ID); return now.Open == 5 && now.Retried == 1 && now.InFlight == 0 })
	if all := r.Backlogs(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestARateThatEventsWaitForAsksForNoMoreThanItself(t *testing.T) {
	now := epoch.Add(time.Minute)
	overlapping := turns{overlap: true, width: &width{slots: 20}}
	overlapping.delivered(now, 100*time.Millisecond)
	for _, c := range []struct {
		name   string
		turns  turns
		atOnce int
		needed float64
		want   float64
	}{
		{"as many as are needed", overlapping, 20, 150, 150},
		{"as many as are going to be made", overlapping, 20, 900, 200},
		{"before the first answer", turns{overlap: true, width: &width{}}, 256, 10_000, 256},
	} {
		if got := c.turns.perSecond(now, c.atOnce, c.needed); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTargetIsWhereTheTurnsLead(t *testing.T) {
	now := epoch
	known := turns{overlap: true, width: &width{slots: 10}}
	known.delivered(now, 100*time.Millisecond)
	for _, c := range []struct {
		name    string
		turns   turns
		waiting int
		want    int
	}{
		{"one after the other", turns{width: &width{}}, 1000, 1},
		{"nothing known yet", turns{overlap: true, width: &width{slots: 10}}, 1000, 256},
		{"a second's worth of work", known, 400, 40},
		{"never fewer than at first", known, 3, 10},
	} {
		if got := c.turns.target(now, load{waiting: c.waiting}, 10, 256); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
