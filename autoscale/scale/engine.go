package scale

import (
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/crds/autoscaling"
)

// Config is what an Engine is made of. Demand, Replicas, Scaler, Downscaler, Sleeper and Status must be set.
type Config struct {
	Demand     Demand
	Replicas   Replicas
	Scaler     Scaler
	Downscaler Downscaler
	Sleeper    Sleeper
	Status     StatusSink

	// Autoscaler is config-autoscaler; SetConfig changes it.
	Autoscaler autoscaling.Config
	// Options are the differences from Knative, and the tick.
	Options decide.Options
	// OnDecision, if set, is told every decision, in order for each revision. It must return at once.
	OnDecision func(Revision, decide.Decision)

	// Clock is the real one if nil.
	Clock clock.Clock
	// Logger is the default one if nil.
	Logger *slog.Logger

	// Ups and Downs bound how many effects run at once; 0 is 64 and 256. A down is mostly waiting.
	Ups, Downs int
	// PokeInterval is the least time between two decisions for held requests of one revision; 0 is 2 ms.
	PokeInterval time.Duration
	// StatusDelay is how long changes of status are collected; 0 is 100 ms.
	StatusDelay time.Duration
}

// backoff bounds the time between tries of an effect that fails.
const (
	backoffMin = 50 * time.Millisecond
	backoffMax = 2 * time.Second
)

// settle is how long the engine trusts its own last patch over a cache that may not have seen it.
const settle = 2 * time.Second

// Spec is what the engine must know of a revision to scale it.
type Spec struct {
	// Annotations are the PodAutoscaler's.
	Annotations map[string]string
	// ContainerConcurrency is the requests that a replica takes at once; 0 is no limit.
	ContainerConcurrency int64
	// Reachable is false if no route points to the revision.
	Reachable bool
	// Before is what the PodAutoscaler says of the time before this engine, without a phase if it never had a status; it counts only when the
	// revision is new here.
	Before Status
}

// Engine scales revisions. Its methods are safe for concurrent use and return at once, but for Run.
type Engine struct {
	config  Config
	clock   clock.Clock
	log     *slog.Logger
	wake    chan struct{}
	metrics *metrics
	ups     *pool
	downs   *pool

	// mu guards what follows and all entries. No foreign code runs under it.
	mu         sync.Mutex
	autoscaler autoscaling.Config
	entries    map[Revision]*entry
	orphans    map[Revision]*effect // under way for entries that were removed
	queue      []*entry             // poked, first come first served
	schedule   schedule             // due at a time
	reports    reports
}

// New returns an Engine that does nothing until Run.
func New(c Config) *Engine {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Ups <= 0 {
		c.Ups = 64
	}
	if c.Downs <= 0 {
		c.Downs = 256
	}
	if c.PokeInterval <= 0 {
		c.PokeInterval = 2 * time.Millisecond
	}
	if c.StatusDelay <= 0 {
		c.StatusDelay = 100 * time.Millisecond
	}
	return &Engine{
		config: c, clock: c.Clock, log: c.Logger, wake: make(chan struct{}, 1), metrics: newMetrics(),
		ups: newPool(c.Ups), downs: newPool(c.Downs),
		autoscaler: c.Autoscaler, entries: map[Revision]*entry{}, orphans: map[Revision]*effect{}, reports: newReports(),
	}
}

// entry is one revision.
type entry struct {
	revision Revision
	spec     Spec
	policy   autoscaling.Policy
	// fixed is true if the policy was given and does not follow the ConfigMap.
	fixed bool
	state decide.State
	// holding is true while the gateways are known to hold.
	holding bool

	queued bool
	cause  Cause
	since  time.Time // when the cause came
	due    time.Time
	index  int // in the schedule; -1 if not in it

	effect   *effect
	again    bool // look again when the effect is done
	failed   kind // what failed last and is to be tried again at retryAt; "" if nothing is
	failures int
	retryAt  time.Time

	// applied is what the engine itself last asked the scale target for.
	applied   int32
	appliedAt time.Time

	input     decide.Input
	decision  decide.Decision
	decidedAt time.Time
	pokedAt   time.Time // the last decision for a held request
	decisions uint64
	counts    Counts

	status, written Status
	reporting       bool
}

// Cause is why a revision is looked at.
type Cause string

// Causes.
const (
	CauseTick    Cause = "tick"    // it was due
	CauseHeld    Cause = "held"    // a request is held
	CauseChange  Cause = "change"  // its annotations, the ConfigMap or its replicas changed
	CauseEffect  Cause = "effect"  // an effect is done
	CauseRestart Cause = "restart" // it is new to this engine
)

// Upsert begins to scale a revision, or changes how. It returns false for a revision of another class, which it leaves alone.
func (e *Engine) Upsert(revision Revision, spec Spec) bool {
	counts := e.config.Replicas.Replicas(revision)
	now := e.clock.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	policy := autoscaling.ResolvePolicy(spec.Annotations, &e.autoscaler, spec.ContainerConcurrency)
	en := e.entries[revision]
	if policy.Class != autoscaling.KPA {
		e.remove(en)
		return false
	}
	if en == nil {
		b := spec.Before
		was := decide.State{Phase: b.Phase, PhaseReason: b.PhaseReason, PhaseSince: b.PhaseSince, Initialized: b.Initialized}
		en = &entry{revision: revision, index: -1, state: decide.Begin(policy, counts.Ready, was, now), status: b}
		e.entries[revision] = en
		e.markDirty(en) // each is published once: what its object lacks besides is made good
		en.spec, en.policy = spec, policy
		e.enqueue(en, CauseRestart, now)
		return true
	}
	changed := en.policy != policy || en.spec.Reachable != spec.Reachable
	en.spec, en.policy, en.fixed = spec, policy, false
	if changed {
		e.enqueue(en, CauseChange, now)
	}
	return true
}

// UpdatePolicy scales a revision by a policy that the caller has resolved. It stands until the next Upsert.
func (e *Engine) UpdatePolicy(revision Revision, policy autoscaling.Policy) {
	now := e.clock.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if en := e.entries[revision]; en != nil {
		changed := en.policy != policy
		en.policy, en.fixed = policy, true
		if changed {
			e.enqueue(en, CauseChange, now)
		}
	}
}

// SetConfig takes a new config-autoscaler. Revisions for which it makes a difference are looked at again.
func (e *Engine) SetConfig(config autoscaling.Config) {
	now := e.clock.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.autoscaler = config
	for _, en := range e.entries {
		if en.fixed {
			continue
		}
		policy := autoscaling.ResolvePolicy(en.spec.Annotations, &e.autoscaler, en.spec.ContainerConcurrency)
		if policy != en.policy {
			en.policy = policy
			e.enqueue(en, CauseChange, now)
		}
	}
}

// Remove stops scaling a revision. What is under way for it is cancelled.
func (e *Engine) Remove(revision Revision) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.remove(e.entries[revision])
}

func (e *Engine) remove(en *entry) {
	if en == nil {
		return
	}
	delete(e.entries, en.revision)
	e.schedule.remove(en)
	if en.effect != nil {
		e.orphans[en.revision] = en.effect
		en.effect.cancel()
	}
}

// Poke says that a request is held for a revision. It is decided on at once.
func (e *Engine) Poke(revision Revision) { e.poke(revision, CauseHeld) }

// Changed says that the replicas of a revision changed.
func (e *Engine) Changed(revision Revision) { e.poke(revision, CauseChange) }

func (e *Engine) poke(revision Revision, cause Cause) {
	now := e.clock.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	en := e.entries[revision]
	switch {
	case en == nil:
	case en.effect != nil && en.effect.kind == up:
		// It is being scaled up: one more look when that is done takes in all that came meanwhile.
		en.note(cause, now)
		en.again = true
	case cause == CauseHeld && now.Sub(en.pokedAt) < e.config.PokeInterval:
		en.note(cause, now)
		e.scheduleBy(en, en.pokedAt.Add(e.config.PokeInterval))
	default:
		e.enqueue(en, cause, now)
	}
}

// note keeps why the next decision is made: the first cause, but that someone waits before all.
func (en *entry) note(cause Cause, now time.Time) {
	if en.cause == "" || cause == CauseHeld && en.cause != CauseHeld {
		en.cause, en.since = cause, now
	}
}
