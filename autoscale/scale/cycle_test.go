package scale

import (
	"testing"
	"time"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/autoscale/signal"
)

// From zero to zero with the real measurement: a request is held and released, then 150 requests are in flight for half a
// minute, then nothing; the last replica goes one stable window after the last request.
func TestACycleFromZeroToZero(t *testing.T) {
	store := signal.New(start, 0)
	r := newRig(t, func(c *Config) { c.Demand = store })
	r.sleeping(Spec{})

	store.Held("hold-0", r.clock.Now(), shop, 1)
	r.engine.Poke(shop)
	r.turn()
	r.require("the held request", "up 1")
	store.Held("hold-0", r.clock.Now(), shop, 0)
	r.engine.Changed(shop)
	r.turn()

	serve := func(d time.Duration, inflight float64) {
		for range d / (200 * time.Millisecond) {
			r.clock.Step(200 * time.Millisecond)
			store.Report("node-0", r.clock.Now(), []signal.Sample{{Revision: shop, Inflight: inflight, NoTimes: true}})
			r.turn()
		}
	}
	serve(30*time.Second, 150)
	if c := r.Replicas(shop); c.Wanted != 3 {
		t.Errorf("%d replicas for 150 in flight at 70 each, want 3: %v", c.Wanted, r.said())
	}
	r.said()

	serve(55*time.Second, 0)
	if c := r.Replicas(shop); c.Wanted < 1 {
		t.Fatal("asleep before the stable window was over")
	}
	serve(20*time.Second, 0)
	calls := r.said()
	if len(calls) < 2 || calls[len(calls)-2] != "sleep" || calls[len(calls)-1] != "down 1→0" {
		t.Fatalf("on the way to sleep: %v", calls)
	}
	store.Drop("node-0", r.clock.Now())
	r.passTime(4 * time.Second)
	s, _ := r.engine.Snapshot(shop)
	if s.Decision.Reason != decide.Asleep || !s.Due.IsZero() {
		t.Errorf("%s, due %v", s.Why, s.Due)
	}
}

func TestAReplicaThatStartsIsActiveAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.startAtOnce = false
	r.sleeping(Spec{})
	r.demand(0, 1)
	r.engine.Poke(shop)
	r.turn()
	if s, _ := r.engine.Snapshot(shop); s.State.Phase != decide.Activating {
		t.Errorf("phase %s while it starts", s.State.Phase)
	}
	r.mu.Lock()
	r.counts[shop] = Counts{Ready: 1, Wanted: 1, Total: 1}
	r.mu.Unlock()
	r.engine.Changed(shop)
	r.turn()
	if s, _ := r.engine.Snapshot(shop); s.State.Phase != decide.Active {
		t.Errorf("phase %s once it is ready", s.State.Phase)
	}
}
