package decide

// settlePhase moves the revision between activating, active and inactive, by what is wanted and what is ready.
func settlePhase(in Input, s *State, d *Decision) {
	threshold := activeThreshold(in, *s)
	if in.Replicas.Ready >= threshold {
		s.Initialized = true
	}
	wants := d.Desired > 0
	if wants {
		threshold = max(threshold, 1) // what was born asleep is asked for before it was seen asleep
	}
	switch {
	case d.Desired == 0 || threshold == 0:
		if s.Phase == Activating && threshold > 0 {
			enter(in, s, Inactive, PhaseTimedOut)
		} else {
			enter(in, s, Inactive, PhaseNoTraffic)
		}
	case in.Replicas.Ready < threshold:
		if wants || s.Phase != Inactive {
			enter(in, s, Activating, PhaseQueued)
		}
	default:
		if wants || s.Phase != Inactive {
			enter(in, s, Active, "")
		}
	}
}

// activeThreshold is how many replicas must be ready for the revision to be active.
func activeThreshold(in Input, s State) int32 {
	if !s.Initialized {
		return max(minScale(in), in.Policy.InitialScale)
	}
	return max(minScale(in), 1)
}

// enter changes the phase. A phase that stays keeps its time and its first reason: what timed out is not merely idle.
func enter(in Input, s *State, phase Phase, reason string) {
	if s.Phase == phase {
		return
	}
	s.Phase, s.PhaseReason, s.PhaseSince = phase, reason, in.Now
}
