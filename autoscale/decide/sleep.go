package decide

import "time"

// activationBuffer is waited beyond the progress deadline, so that the Deployment can report its failure first.
const activationBuffer = 30 * time.Second

// toZero holds back the last replica until it is safe to go. It returns when to look again, or the zero time.
//
// A revision sleeps in three steps: it was active for a stable window with nothing to do and becomes inactive; the gateways
// confirm that they hold; and the retention and grace periods are over.
func toZero(in Input, s State, d *Decision) time.Time {
	switch {
	case d.Desired != 0:
		return time.Time{}
	case !in.Policy.ScaleToZero:
		d.Desired, d.Reason = 1, ScaleToZeroDisabled
		return time.Time{}
	}
	switch s.Phase {
	case Activating:
		return giveUpActivation(in, s, d)
	case Active:
		return becomeInactive(in, s, d)
	default:
		return letGo(in, s, d)
	}
}

// giveUpActivation scales to zero what did not become ready in time and is not asked for any more.
func giveUpActivation(in Input, s State, d *Decision) time.Time {
	timeout := in.Policy.ProgressDeadline + activationBuffer
	if in.Now.Sub(s.PhaseSince) > timeout {
		d.Reason = ActivationTimedOut
		return time.Time{}
	}
	d.Desired, d.Apply, d.Reason = Unknown, false, ActivationPending
	return s.PhaseSince.Add(timeout + time.Nanosecond)
}

func becomeInactive(in Input, s State, d *Decision) time.Time {
	idleAt := s.PhaseSince.Add(in.Policy.StableWindow)
	if in.Now.Before(idleAt) {
		d.Desired, d.Reason = 1, IdlePending
		return idleAt
	}
	d.Apply, d.Reason = false, Idle
	return time.Time{}
}

func letGo(in Input, s State, d *Decision) time.Time {
	d.Reason = Asleep
	if in.Replicas.Wanted == 0 {
		return time.Time{}
	}
	retention := in.Policy.RetentionPeriod
	if !in.Reachable {
		retention = 0
	}
	inactive := in.Now.Sub(s.PhaseSince)
	wait := func(reason Reason, until time.Time) time.Time {
		d.Apply, d.Reason = false, reason
		return until
	}
	switch {
	case !in.Holding:
		return wait(GatewaysPending, time.Time{})
	case inactive >= max(in.Policy.GracePeriod, retention):
		return time.Time{}
	case inactive < retention:
		return wait(RetentionPending, s.PhaseSince.Add(retention))
	case in.Options.ConfirmedSleep:
		return time.Time{}
	}
	graceOver := s.BufferSince.Add(in.Policy.GracePeriod)
	if s.BufferSince.IsZero() {
		graceOver = in.Now.Add(in.Policy.GracePeriod)
	}
	if in.Now.Before(graceOver) {
		return wait(GracePending, graceOver)
	}
	return time.Time{}
}
