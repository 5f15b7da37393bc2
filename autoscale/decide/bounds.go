package decide

// bound keeps the number within min-scale and max-scale, and at initial-scale until that was reached once.
func bound(in Input, s State, d *Decision) {
	least, reason := minScale(in), MinScale
	if initial := in.Policy.InitialScale; initial > 1 && !s.Initialized && in.Reachable && initial > least {
		least, reason = initial, InitialScale
	}
	switch most := in.Policy.MaxScale; {
	case d.Desired == Unknown && least == 0:
		d.Desired = 0
	case d.Desired < least:
		d.Desired, d.Reason = least, reason
	case most != 0 && d.Desired > most:
		d.Desired, d.Reason = most, MaxScale
	}
	d.Apply = true
}

// minScale is no rule for what nothing can reach.
func minScale(in Input) int32 {
	if in.Reachable {
		return in.Policy.MinScale
	}
	return 0
}
