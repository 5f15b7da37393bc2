package decide

import "time"

// Decide returns how many replicas a revision should have, and what to remember for the next decision.
// It is a function: the same input gives the same answer, and in is not changed.
func Decide(in Input) (Decision, State) {
	s := in.State
	if s.Phase == "" {
		s.Phase, s.PhaseSince, s.PhaseReason = Activating, in.Now, PhaseQueued
	}
	d := Decision{FreeSlots: freeSlots(in)}

	recommend(in, &s, &d)
	var look time.Time
	if d.Desired == Unknown && s.Phase != Activating {
		d.Apply = false
	} else {
		bound(in, s, &d)
		look = toZero(in, s, &d)
	}
	settlePhase(in, &s, &d)

	d.ExcessBurstCapacity = s.ExcessBurst
	buffer(in, &s, &d)
	d.PrepareSleep = s.Phase == Inactive && d.Desired == 0 && !d.Apply && !in.Holding
	d.Panicking = !s.PanicSince.IsZero()
	d.Next = next(in, s, d, look)
	return d, s
}

// next returns when to look again: at the tick or an earlier deadline, and not at all for what sleeps.
func next(in Input, s State, d Decision, look time.Time) time.Time {
	asleep := in.Replicas.Wanted == 0 && d.Desired <= 0 && waits(in) == nobody && s.Phase == Inactive
	if asleep {
		return time.Time{}
	}
	tick := in.Now.Add(in.Options.tick())
	if !look.IsZero() && look.Before(tick) {
		return look
	}
	return tick
}

// buffer decides whether requests go by the hold, and remembers since when Knative's would be in the path.
func buffer(in Input, s *State, d *Decision) {
	inPath := d.Desired <= 0 || s.ExcessBurst < 0
	switch {
	case !inPath:
		s.BufferSince = time.Time{}
	case s.BufferSince.IsZero():
		s.BufferSince = in.Now
	}
	d.HoldInPath = holdInPath(in, *d, inPath)
}

// holdInPath says whether the hold belongs in the path of a revision with replicas. At zero it always does.
func holdInPath(in Input, d Decision, knatives bool) bool {
	switch tbc := in.Policy.TargetBurstCapacity; {
	case d.Desired == 0:
		return true
	case tbc == -1:
		return true
	case tbc == 0:
		return false
	case in.Options.ExcessCapacityHold:
		return knatives
	default:
		return d.FreeSlots == 0
	}
}

// freeSlots returns how many more requests the ready replicas take at once, or -1 where there is no limit.
func freeSlots(in Input) int32 {
	if in.Policy.ContainerConcurrency <= 0 {
		return -1
	}
	slots := float64(in.Replicas.Ready) * float64(in.Policy.ContainerConcurrency)
	return max(0, toCount(slots-in.Window.Inflight))
}
