package phases

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

var shop = model.Key{Namespace: "default", Name: "shop-v1"}

// bench is a recorder on a store, with a clock that a test moves and a log that it reads.
type bench struct {
	*Recorder
	store *store.Store
	clock time.Time
	log   strings.Builder
}

func newBench() *bench {
	b := &bench{clock: time.Unix(1000, 0), store: store.New()}
	b.Recorder = New(func() time.Time { return b.clock }, slog.New(slog.NewTextHandler(&b.log, nil)))
	b.Observe(b.store)
	b.ObservePushed(b.store)
	b.store.Write(func(tx *store.Tx) { tx.SetRevision(model.Revision{Key: shop}) })
	return b
}

func (b *bench) later(ms int) { b.clock = b.clock.Add(time.Duration(ms) * time.Millisecond) }

func (b *bench) replica(change func(*store.Replica)) {
	pod := model.Key{Namespace: "default", Name: "shop-v1-x"}
	b.store.Write(func(tx *store.Tx) {
		r := &store.Replica{Replica: model.Replica{Pod: pod, Revision: model.Revision{Key: shop}}}
		if old, ok := tx.Replica(pod); ok {
			*r = *old
		}
		change(r)
		tx.SetReplica(r)
	})
}

func TestEveryPhaseOfAColdStartIsTimedFromTheFirstHeldRequest(t *testing.T) {
	b := newBench()
	b.Demand(shop, 1)
	b.later(1)
	b.Reached(shop, Decided)
	b.Demand(shop, 3)
	b.later(1)
	b.Reached(shop, Scaled)
	b.later(8)
	b.replica(func(*store.Replica) {})
	b.later(10)
	b.replica(func(r *store.Replica) { r.App.Host = "10.0.0.1"; r.Started = b.clock })
	b.later(20)
	b.replica(func(r *store.Replica) { r.Programmed, r.Listening, r.Answers = true, true, true })
	b.later(2)
	b.Reached(shop, Acked)
	b.Demand(shop, 2)
	wakes := b.Wakes()
	if len(wakes) != 1 || wakes[0].Held != 3 || wakes[0].Revision != "default/shop-v1" {
		t.Fatalf("got %+v", wakes)
	}
	for phase, want := range map[Phase]float64{
		Decided: 1, Scaled: 2, Created: 10, Addressed: 20, Started: 20, Programmed: 40, Answering: 40, Ready: 40, Pushed: 40, Acked: 42, Released: 42,
	} {
		if got := wakes[0].Phases[phase.String()]; got != want {
			t.Errorf("%s after %v ms, want %v", phase, got, want)
		}
	}
	if line := b.log.String(); !strings.Contains(line, `msg="revision woken" revision=default/shop-v1 held=3 decided_ms=1`) {
		t.Errorf("logged %q", line)
	}
}

func TestARequestThatIsHeldWhileAReplicaIsReadyIsNoColdStart(t *testing.T) {
	b := newBench()
	b.replica(func(r *store.Replica) { r.Programmed, r.Listening, r.Answers = true, true, true })
	b.Demand(shop, 1)
	b.Reached(shop, Acked)
	b.Demand(shop, 0)
	if wakes := b.Wakes(); len(wakes) != 0 {
		t.Errorf("got %+v", wakes)
	}
}

func TestAColdStartThatEverybodyLeftIsForgotten(t *testing.T) {
	b := newBench()
	b.Demand(shop, 2)
	b.Demand(shop, 0)
	b.Demand(shop, 1)
	b.later(5)
	b.Reached(shop, Acked)
	b.Demand(shop, 0)
	if wakes := b.Wakes(); len(wakes) != 1 || wakes[0].Held != 1 || wakes[0].Phases["acked"] != 5 {
		t.Errorf("got %+v", wakes)
	}
}

func TestPodsOnTheirWayOutAreNoProgress(t *testing.T) {
	b := newBench()
	b.replica(func(r *store.Replica) { r.Terminating, r.App.Host = true, "10.0.0.1" })
	b.Demand(shop, 1)
	b.later(5)
	b.Reached(shop, Acked)
	b.Demand(shop, 0)
	if _, seen := b.Wakes()[0].Phases["created"]; seen {
		t.Error("an old pod counted as created")
	}
}
