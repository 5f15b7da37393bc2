package decide

import (
	"time"

	"ebb.dev/ebb/crds/autoscaling"
)

// Tick is how often a revision that runs is looked at, unless Options says otherwise.
const Tick = 2 * time.Second

// Demand is the mean of the policy's metric over a stretch of time: requests in flight, or requests per second.
type Demand struct {
	Mean float64 `json:"mean"`
	// Covered is how much of the stretch was measured; 0 means that nothing is known.
	Covered time.Duration `json:"covered"`
}

// Window is the measured demand of one revision, all of its replicas together.
type Window struct {
	Stable Demand `json:"stable"`
	Panic  Demand `json:"panic"`
	// Inflight is the requests that replicas have now, queued ones included.
	Inflight float64 `json:"inflight"`
	// Held is the requests that wait for a replica now. They are in none of the replicas.
	Held float64 `json:"held"`
	// Backlog is the events that wait to be delivered. None of them is a request yet.
	Backlog Backlog `json:"backlog,omitzero"`
}

// Backlog is what waits for one revision to be delivered.
type Backlog struct {
	// Waiting is events of which no delivery has begun.
	Waiting float64 `json:"waiting"`
	// AtOnce is how many deliveries are going to overlap if replicas take them; Due are those of them that are not made yet.
	AtOnce float64 `json:"atOnce"`
	Due    float64 `json:"due,omitempty"`
	// PerSecond is how many deliveries a second that makes, with what comes; 0 where it is not known.
	PerSecond float64 `json:"perSecond,omitempty"`
}

// Plus is what waits in two places.
func (b Backlog) Plus(other Backlog) Backlog {
	return Backlog{b.Waiting + other.Waiting, b.AtOnce + other.AtOnce, b.Due + other.Due, b.PerSecond + other.PerSecond}
}

// Share is a part of the backlog, from 0 to 1.
func (b Backlog) Share(part float64) Backlog {
	return Backlog{b.Waiting * part, b.AtOnce * part, b.Due * part, b.PerSecond * part}
}

// Replicas is what runs of a revision.
type Replicas struct {
	// Ready replicas take requests.
	Ready int32 `json:"ready"`
	// Wanted is what the scale target was last asked for.
	Wanted int32 `json:"wanted"`
}

// Options are the differences from Knative that can be turned on, and the clock.
type Options struct {
	// Tick is how often to look; 0 is Tick.
	Tick time.Duration `json:"tick,omitempty"`
	// ConfirmedSleep lets the last replica go as soon as the gateways have confirmed that they hold, without the rest of
	// the grace period. The retention period still counts.
	ConfirmedSleep bool `json:"confirmedSleep,omitempty"`
	// ExcessCapacityHold puts the buffer in the path by Knative's rule (excess burst capacity below 0) where
	// target-burst-capacity is positive, and not only while no slot is free.
	ExcessCapacityHold bool `json:"excessCapacityHold,omitempty"`
}

func (o Options) tick() time.Duration {
	if o.Tick > 0 {
		return o.Tick
	}
	return Tick
}

// Input is all that a decision depends on.
type Input struct {
	// Revision is namespace/name, for whoever reads the log.
	Revision string             `json:"revision,omitempty"`
	Now      time.Time          `json:"now"`
	Window   Window             `json:"window"`
	Policy   autoscaling.Policy `json:"policy"`
	Replicas Replicas           `json:"replicas"`
	// Reachable is false if no route points to the revision.
	Reachable bool `json:"reachable"`
	// Holding is true while every gateway is known to hold requests for the revision.
	Holding bool    `json:"holding,omitempty"`
	Options Options `json:"options,omitzero"`
	State   State   `json:"state"`
}

// State is what one decision leaves for the next. Make the first with Begin.
type State struct {
	// Recommended is what demand last asked for, before bounds; it means nothing until Known.
	Recommended int32 `json:"recommended"`
	Known       bool  `json:"known,omitempty"`
	// ExcessBurst is the last excess burst capacity, in requests.
	ExcessBurst int32 `json:"excessBurst"`
	// BufferSince is when, by Knative's rule, the buffer came into the path; zero if it is not in it.
	BufferSince time.Time `json:"bufferSince,omitzero"`

	// PanicSince is the last time that demand crossed the panic threshold; zero if not panicking.
	PanicSince time.Time `json:"panicSince,omitzero"`
	// PanicReplicas is the most replicas that this panic asked for.
	PanicReplicas int32 `json:"panicReplicas,omitempty"`
	// Peaks are the recommendations that the scale-down delay still remembers, oldest and largest first.
	Peaks []Peak `json:"peaks,omitempty"`

	Phase Phase `json:"phase"`
	// PhaseReason says why, as the condition Active does.
	PhaseReason string    `json:"phaseReason,omitempty"`
	PhaseSince  time.Time `json:"phaseSince,omitzero"`
	// Initialized is true once the revision had its initial replicas ready.
	Initialized bool `json:"initialized,omitempty"`
}

// Phase is the condition Active: whether the revision serves.
type Phase string

const (
	// Activating is on the way to serve: the condition is Unknown.
	Activating Phase = "Activating"
	// Active serves.
	Active Phase = "Active"
	// Inactive has had no demand for a stable window, or could not be activated.
	Inactive Phase = "Inactive"
)

// Reasons of a phase.
const (
	PhaseQueued    = "Queued"
	PhaseNoTraffic = "NoTraffic"
	PhaseTimedOut  = "TimedOut"
)

// Begin is the State of a revision that the autoscaler has not decided for yet, or not since it started.
// was is what the PodAutoscaler's status says: Phase, "" for a new revision, PhaseReason, PhaseSince and Initialized; it has no more.
//
// What runs stays until there is enough to decide on: with more than one replica ready it begins in panic, and what was active has to be idle
// for a stable window from now, whenever that began.
func Begin(policy autoscaling.Policy, ready int32, was State, now time.Time) State {
	s := was
	switch s.Phase {
	case "":
		s.Phase, s.PhaseSince, s.PhaseReason = Activating, now, PhaseQueued
	case Active:
		s.PhaseSince = now
	}
	if ready > 1 {
		s.PanicSince, s.PanicReplicas = now, ready
	}
	switch tbc := policy.TargetBurstCapacity; tbc {
	case -1, 0:
		s.ExcessBurst = int32(tbc)
	default:
		s.ExcessBurst = toCount(float64(policy.InitialScale)*policy.Total - tbc)
	}
	return s
}

// Reason is the rule that had the last word about the number of replicas.
type Reason string

// Reasons, in the order in which the rules apply.
const (
	NoData              Reason = "NoData"              // nothing measured: what runs stays
	StableDemand        Reason = "StableDemand"        // the stable window
	PanicDemand         Reason = "PanicDemand"         // the panic window
	PanicKeeps          Reason = "PanicKeeps"          // no replica goes while in panic
	HeldDemand          Reason = "HeldDemand"          // requests that are held
	BacklogDemand       Reason = "BacklogDemand"       // events that wait to be delivered
	MaxScaleUpRate      Reason = "MaxScaleUpRate"      // no faster up
	MaxScaleDownRate    Reason = "MaxScaleDownRate"    // no faster down
	ActivationScale     Reason = "ActivationScale"     // never fewer when any
	ScaleDownDelay      Reason = "ScaleDownDelay"      // demand has not been low for long enough
	MinScale            Reason = "MinScale"            // lower bound
	InitialScale        Reason = "InitialScale"        // lower bound until reached once
	MaxScale            Reason = "MaxScale"            // upper bound
	ScaleToZeroDisabled Reason = "ScaleToZeroDisabled" // the cluster lets nothing sleep
	ActivationPending   Reason = "ActivationPending"   // no demand, but the activation may still succeed
	ActivationTimedOut  Reason = "ActivationTimedOut"  // the activation is given up
	IdlePending         Reason = "IdlePending"         // not active for a whole stable window yet
	Idle                Reason = "Idle"                // no demand for a stable window: inactive from now on
	GatewaysPending     Reason = "GatewaysPending"     // the gateways do not all hold yet
	RetentionPending    Reason = "RetentionPending"    // the last replica is kept
	GracePending        Reason = "GracePending"        // the buffer has not been in the path for long enough
	Asleep              Reason = "Asleep"              // zero
)

// Unknown is Decision.Desired where there is nothing to decide on.
const Unknown int32 = -1

// Decision is how many replicas there should be.
type Decision struct {
	// Desired is the number of replicas; Unknown where nothing is known.
	Desired int32 `json:"desired"`
	// Apply says to bring the scale target to Desired. Without it Desired is a wish that waits for something.
	Apply  bool   `json:"apply"`
	Reason Reason `json:"reason"`

	// Stable and Panic are what the two windows ask for, before any rule, in replicas.
	Stable float64 `json:"stable"`
	Panic  float64 `json:"panic"`
	// Panicking is true in panic mode.
	Panicking bool `json:"panicking,omitempty"`

	// ExcessBurstCapacity is what is free beyond target-burst-capacity, in requests.
	ExcessBurstCapacity int32 `json:"excessBurstCapacity"`
	// FreeSlots is how many more requests the ready replicas take at once; -1 is no limit.
	FreeSlots int32 `json:"freeSlots"`
	// HoldInPath says that requests should go by the hold even though replicas run.
	HoldInPath bool `json:"holdInPath,omitempty"`
	// PrepareSleep asks for the gateways to hold, so that the last replica can go.
	PrepareSleep bool `json:"prepareSleep,omitempty"`

	// Next is when to look again at the latest; zero is not before something happens.
	Next time.Time `json:"next,omitzero"`
}
