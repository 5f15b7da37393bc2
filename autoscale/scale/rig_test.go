package scale

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/autoscale/signal"
	"ebb.dev/ebb/crds/autoscaling"
)

var (
	start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	shop  = Revision{Namespace: "default", Name: "shop-00001"}
)

// world is everything around an engine: a cluster that does what it is told, at once unless a gate is set.
type world struct {
	mu      sync.Mutex
	windows map[Revision]decide.Window
	counts  map[Revision]Counts
	calls   []string
	rested  int
	written map[Revision]Status
	writes  int

	// gate, if set, is called within each effect; it may block or fail.
	gate func(ctx context.Context, call string) error
	// demandBack makes PrepareSleep return false.
	demandBack bool
	// startAtOnce makes new replicas ready at once.
	startAtOnce bool
}

func newWorld() *world {
	return &world{windows: map[Revision]decide.Window{}, counts: map[Revision]Counts{}, written: map[Revision]Status{}, startAtOnce: true}
}

func (w *world) Window(revision Revision, _ signal.Spec, _ time.Time) decide.Window {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.windows[revision]
}

func (w *world) Rest(Revision, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rested++
}

func (w *world) Replicas(revision Revision) Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[revision]
}

func (w *world) pass(ctx context.Context, call string) error {
	w.mu.Lock()
	w.calls = append(w.calls, call)
	gate := w.gate
	w.mu.Unlock()
	if gate != nil {
		return gate(ctx, call)
	}
	return nil
}

func (w *world) run(revision Revision, n int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := Counts{Wanted: n, Total: n, Ready: min(n, w.counts[revision].Ready)}
	if w.startAtOnce {
		c.Ready = n
	}
	w.counts[revision] = c
}

func (w *world) SetReplicas(ctx context.Context, revision Revision, n int32) error {
	if err := w.pass(ctx, fmt.Sprintf("up %d", n)); err != nil {
		return err
	}
	w.run(revision, n)
	return nil
}

func (w *world) ScaleDown(ctx context.Context, revision Revision, from, to int32) error {
	if err := w.pass(ctx, fmt.Sprintf("down %d→%d", from, to)); err != nil {
		return err
	}
	w.run(revision, to)
	return nil
}

func (w *world) PrepareSleep(ctx context.Context, _ Revision) (bool, error) {
	if err := w.pass(ctx, "sleep"); err != nil {
		return false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.demandBack, nil
}

func (w *world) EndSleep(Revision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, "serve again")
}

func (w *world) WriteStatus(_ context.Context, revision Revision, status Status) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written[revision] = status
	w.writes++
	return nil
}

// rig is an engine whose loop the test turns itself, on a clock that the test moves.
type rig struct {
	*world
	t      *testing.T
	engine *Engine
	clock  *clocktesting.FakeClock
	ctx    context.Context
}

func newRig(t *testing.T, change func(*Config)) *rig {
	w := newWorld()
	c := Config{
		Demand: w, Replicas: w, Scaler: w, Downscaler: w, Sleeper: w, Status: w, Autoscaler: autoscaling.DefaultConfig(),
		Clock: clocktesting.NewFakeClock(start), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{world: w, t: t, engine: New(c), clock: c.Clock.(*clocktesting.FakeClock), ctx: ctx}
	t.Cleanup(func() { cancel(); r.effects() })
	return r
}

// decide looks at whoever is due or poked, without waiting for effects. It returns how many looks there were.
func (r *rig) decide() (looks int) {
	for {
		l := r.engine.take(r.clock.Now())
		if l.entry == nil {
			return looks
		}
		r.engine.look(r.ctx, l)
		looks++
	}
}

// effects waits until nothing is under way.
func (r *rig) effects() {
	r.engine.ups.wait()
	r.engine.downs.wait()
}

// turn decides and waits for effects until nothing is left to do now.
func (r *rig) turn() {
	for range 100 {
		looks := r.decide()
		r.effects()
		if looks == 0 && r.decide() == 0 {
			return
		}
	}
	r.t.Fatal("the engine does not come to rest")
}

// pass moves the clock in steps of 100 ms and lets the engine follow.
func (r *rig) passTime(d time.Duration) {
	for end := r.clock.Now().Add(d); r.clock.Now().Before(end); {
		r.clock.Step(100 * time.Millisecond)
		r.turn()
	}
}

func (r *rig) demand(mean, held float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.windows[shop] = decide.Window{
		Stable: decide.Demand{Mean: mean, Covered: time.Minute}, Panic: decide.Demand{Mean: mean, Covered: 6 * time.Second},
		Inflight: mean, Held: held,
	}
}

// said returns the calls since the last time.
func (r *rig) said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// serving has the revision up with n replicas and active for an hour.
func (r *rig) serving(n int32, spec Spec) {
	r.demand(float64(n)*70, 0)
	r.run(shop, n)
	spec.Before = Status{Phase: decide.Active, PhaseSince: start.Add(-time.Hour), Initialized: true}
	spec.Reachable = true
	if !r.engine.Upsert(shop, spec) {
		r.t.Fatal("the revision was not taken on")
	}
	r.engine.entries[shop].state.PhaseSince = spec.Before.PhaseSince // and this engine has seen it
	r.turn()
	r.said()
}

// sleeping has the revision at zero.
func (r *rig) sleeping(spec Spec) {
	spec.Before = Status{Phase: decide.Inactive, PhaseSince: start.Add(-time.Hour), Initialized: true}
	spec.Reachable = true
	r.engine.Upsert(shop, spec)
	r.turn()
	r.said()
}

// gated holds effects whose call is in the list until it is opened, or their context is cancelled.
type gated struct {
	reached chan string
	open    chan struct{}
}

func (r *rig) gateOn(calls ...string) *gated {
	g := &gated{reached: make(chan string, 10), open: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate = func(ctx context.Context, call string) error {
		for _, c := range calls {
			if c == call {
				g.reached <- call
				select {
				case <-g.open:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	}
	return g
}
