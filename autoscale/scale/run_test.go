package scale

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	clocktesting "k8s.io/utils/clock/testing"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/autoscale/signal"
	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/test/background"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// until waits for a condition that another goroutine brings about.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

func TestTenThousandIdleRevisionsAreNoWork(t *testing.T) {
	const n = 10_000
	before := goleak.IgnoreCurrent()
	clock := clocktesting.NewFakeClock(start)
	w := newWorld()
	store := signal.New(start, 0)
	e := New(Config{
		Demand: store, Replicas: w, Scaler: w, Downscaler: w, Sleeper: w, Status: w,
		Autoscaler: autoscaling.DefaultConfig(), Clock: clock, Logger: quiet(),
	})
	stop := background.Run(t, e.Run)
	defer stop()
	revisions := make([]Revision, n)
	for i := range revisions {
		revisions[i] = Revision{Namespace: "default", Name: fmt.Sprintf("r-%05d", i)}
		e.Upsert(revisions[i], Spec{Reachable: true, Before: Status{Phase: decide.Inactive, PhaseSince: start.Add(-time.Hour), Initialized: true}})
	}
	looks := func() float64 { return testutil.ToFloat64(e.metrics.decisions.WithLabelValues(string(CauseRestart))) }
	until(t, "the first look at each", func() bool { return looks() == n })
	until(t, "a sleep of everything but statuses", func() bool {
		awake, asleep := e.observed()
		return len(awake) == 0 && asleep == n
	})

	for range 3600 {
		clock.Step(time.Second)
	}
	total := testutil.CollectAndCount(e.metrics.decisions)
	if total != 1 || looks() != n {
		t.Errorf("an hour of idleness made decisions for %d causes, %v at the start", total, looks())
	}
	until(t, "an end of all timers, when the statuses are written", func() bool {
		clock.Step(time.Second)
		return !clock.HasWaiters()
	})
	if store.Len() != 0 {
		t.Errorf("the measurements take room for %d revisions", store.Len())
	}

	store.Held("hold-0", clock.Now(), revisions[4711], 1)
	e.Poke(revisions[4711])
	until(t, "the wake of one", func() bool { return w.Replicas(revisions[4711]).Wanted == 1 })
	if got := testutil.ToFloat64(e.metrics.wakes); got != 1 {
		t.Errorf("%v wakes", got)
	}
	stop()
	goleak.VerifyNone(t, before)
}

// The engine's own share of a cold start: from the poke to the patch being sent.
func TestAWakeTakesMicrosecondsInTheEngine(t *testing.T) {
	var sent atomic.Int64
	w := newWorld()
	w.gate = func(context.Context, string) error {
		sent.Store(time.Now().UnixNano())
		return nil
	}
	store := signal.New(time.Now(), 0)
	e := New(Config{
		Demand: store, Replicas: w, Scaler: w, Downscaler: w, Sleeper: w, Status: w,
		Autoscaler: autoscaling.DefaultConfig(), Logger: quiet(),
	})
	defer background.Run(t, e.Run)()
	var took []time.Duration
	for i := range 300 {
		revision := Revision{Namespace: "default", Name: fmt.Sprintf("r-%d", i)}
		e.Upsert(revision, Spec{Reachable: true, ContainerConcurrency: 1, Before: Status{Phase: decide.Inactive, Initialized: true}})
		until(t, "the first look", func() bool { s, _ := e.Snapshot(revision); return s.Decisions > 0 })
		sent.Store(0)
		begin := time.Now()
		store.Held("hold-0", begin, revision, 1)
		e.Poke(revision)
		until(t, "the patch", func() bool { return sent.Load() != 0 })
		took = append(took, time.Duration(sent.Load()-begin.UnixNano()))
	}
	slices.Sort(took)
	t.Logf("poke → patch: p50 %v, p99 %v, max %v", took[150], took[297], took[299])
	if took[150] > time.Millisecond {
		t.Errorf("half of the wakes take more than %v", took[150])
	}
}

func TestEffectsAreBoundedAndOneAtATimeForEachRevision(t *testing.T) {
	var now, most, busy atomic.Int64
	perRevision := sync.Map{}
	w := newWorld()
	store := signal.New(time.Now(), 0)
	s := &countingScaler{world: w, enter: func(r Revision) {
		if _, loaded := perRevision.LoadOrStore(r, true); loaded {
			busy.Add(1)
		}
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
	}, leave: func(r Revision) {
		now.Add(-1)
		perRevision.Delete(r)
	}}
	e := New(Config{
		Demand: store, Replicas: w, Scaler: s, Downscaler: w, Sleeper: w, Status: w,
		Autoscaler: autoscaling.DefaultConfig(), Logger: quiet(), Ups: 8, PokeInterval: time.Microsecond,
	})
	defer background.Run(t, e.Run)()
	revisions := make([]Revision, 200)
	for i := range revisions {
		revisions[i] = Revision{Namespace: "default", Name: fmt.Sprintf("r-%d", i)}
		e.Upsert(revisions[i], Spec{Reachable: true, ContainerConcurrency: 1, Before: Status{Phase: decide.Inactive, Initialized: true}})
	}
	for held := 1; held <= 20; held++ {
		for _, r := range revisions {
			store.Held("hold-0", time.Now(), r, held)
			e.Poke(r)
		}
	}
	until(t, "29 replicas of each", func() bool {
		for _, r := range revisions {
			if w.Replicas(r).Wanted < 29 {
				store.Touch("hold-0", time.Now())
				return false
			}
		}
		return true
	})
	if most.Load() > 8 || busy.Load() != 0 {
		t.Errorf("%d effects at once, %d overlaps within a revision", most.Load(), busy.Load())
	}
}

type countingScaler struct {
	*world
	enter, leave func(Revision)
}

func (s *countingScaler) SetReplicas(ctx context.Context, revision Revision, n int32) error {
	s.enter(revision)
	defer s.leave(revision)
	runtime.Gosched()
	return s.world.SetReplicas(ctx, revision, n)
}

func TestTheEngineStopsWithWhatIsUnderWay(t *testing.T) {
	before := goleak.IgnoreCurrent()
	w := newWorld()
	reached := make(chan struct{})
	w.gate = func(ctx context.Context, _ string) error {
		close(reached)
		<-ctx.Done()
		return ctx.Err()
	}
	store := signal.New(time.Now(), 0)
	e := New(Config{
		Demand: store, Replicas: w, Scaler: w, Downscaler: w, Sleeper: w, Status: w,
		Autoscaler: autoscaling.DefaultConfig(), Logger: quiet(), StatusDelay: time.Millisecond,
	})
	stop := background.Run(t, e.Run)
	e.Upsert(shop, Spec{Reachable: true, Before: Status{Phase: decide.Inactive, Initialized: true}})
	store.Held("hold-0", time.Now(), shop, 1)
	e.Poke(shop)
	<-reached
	until(t, "the status", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.written[shop].Phase == decide.Activating && w.written[shop].Desired == 1
	})
	stop()
	goleak.VerifyNone(t, before)
}

func TestMetricsShowWhatIsAwake(t *testing.T) {
	r := newRig(t, nil)
	r.serving(2, Spec{})
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(r.engine); err != nil {
		t.Fatal(err)
	}
	want := `
# HELP ebb_autoscale_desired_replicas Replicas that the last decision asks for.
# TYPE ebb_autoscale_desired_replicas gauge
ebb_autoscale_desired_replicas{namespace="default",revision="shop-00001"} 2
# HELP ebb_autoscale_panic_mode 1 while in panic mode.
# TYPE ebb_autoscale_panic_mode gauge
ebb_autoscale_panic_mode{namespace="default",revision="shop-00001"} 1
# HELP ebb_autoscale_revisions_asleep Revisions that are not looked at until something happens.
# TYPE ebb_autoscale_revisions_asleep gauge
ebb_autoscale_revisions_asleep 0
# HELP ebb_autoscale_stable_demand Demand over the stable window, in units of the revision's metric.
# TYPE ebb_autoscale_stable_demand gauge
ebb_autoscale_stable_demand{namespace="default",revision="shop-00001"} 140
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "ebb_autoscale_desired_replicas",
		"ebb_autoscale_panic_mode", "ebb_autoscale_revisions_asleep", "ebb_autoscale_stable_demand"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}

func BenchmarkDecision(b *testing.B) {
	w := newWorld()
	begin := time.Now()
	store := signal.New(begin, 0)
	for i := range 300 {
		store.Report("proxy", begin.Add(time.Duration(i)*200*time.Millisecond), []signal.Sample{{Revision: shop, Inflight: 50}})
	}
	e := New(Config{Demand: store, Replicas: w, Scaler: w, Downscaler: w, Sleeper: w, Status: w,
		Autoscaler: autoscaling.DefaultConfig(), Logger: quiet(), Clock: clocktesting.NewFakeClock(begin.Add(time.Minute))})
	w.run(shop, 1)
	e.Upsert(shop, Spec{Reachable: true, Before: Status{Phase: decide.Active, PhaseSince: begin, Initialized: true}})
	l := e.take(begin)
	b.ReportAllocs()
	for b.Loop() {
		e.look(context.Background(), l)
	}
}
