package scale

import (
	"context"
	"time"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/autoscale/signal"
)

// Revision is the namespace and name of a revision.
type Revision = signal.Revision

// Demand is what is measured; a *signal.Store.
type Demand interface {
	// Window measures a revision at a time. It takes microseconds.
	Window(revision Revision, spec signal.Spec, now time.Time) decide.Window
	// Rest frees the room of a revision that sleeps.
	Rest(revision Revision, now time.Time)
}

// Counts is what runs of a revision.
type Counts struct {
	// Ready replicas take requests.
	Ready int32
	// Wanted is the scale target's spec.replicas.
	Wanted int32
	// Total is all that exist, those that start or end included.
	Total int32
}

// Replicas knows what runs, from a cache: it takes microseconds. Whoever feeds the cache calls Engine.Changed.
type Replicas interface {
	Replicas(revision Revision) Counts
}

// Scaler adds replicas.
type Scaler interface {
	// SetReplicas asks the scale target for n replicas, which is more than it has. It is on the way of a waking request.
	SetReplicas(ctx context.Context, revision Revision, n int32) error
}

// Downscaler takes replicas away without losing a request.
type Downscaler interface {
	// ScaleDown chooses from−to victims, takes them out of service (every proxy has acknowledged, nothing is in flight or the
	// deadline is over), marks them to be deleted first, and asks the scale target for to replicas.
	//
	// When ctx is cancelled because demand came back, it returns soon, and victims that are not deleted yet serve again.
	ScaleDown(ctx context.Context, revision Revision, from, to int32) error
}

// Sleeper readies a revision's way for having no replicas.
type Sleeper interface {
	// PrepareSleep returns true once every gateway holds requests for the revision, so that none can reach a replica that
	// goes. It returns false if demand came back meanwhile. When ctx is cancelled the gateways serve again.
	PrepareSleep(ctx context.Context, revision Revision) (bool, error)
	// EndSleep lets the gateways serve again after PrepareSleep returned true: demand came back before the last replica
	// went. It must return at once.
	EndSleep(revision Revision)
}

// Status is what the world is told about a revision.
type Status struct {
	// Desired is the number of replicas wanted; decide.Unknown before anything is known.
	Desired int32
	// Actual is the number of ready replicas.
	Actual int32
	// Phase, PhaseReason and PhaseSince are the condition Active.
	Phase       decide.Phase
	PhaseReason string
	PhaseSince  time.Time
	// Initialized is the condition ScaleTargetInitialized.
	Initialized bool
}

// StatusSink publishes statuses. Several changes of one revision come as the last of them. A new engine publishes every
// revision once: a sink whose object says the same already writes nothing.
type StatusSink interface {
	WriteStatus(ctx context.Context, revision Revision, status Status) error
}
