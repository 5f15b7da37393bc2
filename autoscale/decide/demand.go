package decide

import (
	"math"
	"time"

	"ebb.dev/ebb/crds/autoscaling"
)

// recommend fills in what demand asks for, with panic mode, rate limits, activation scale and the scale-down delay.
func recommend(in Input, s *State, d *Decision) {
	who := waits(in)
	if in.Window.Stable.Covered <= 0 && who == nobody {
		d.Desired, d.Reason = Unknown, NoData
		if s.Known {
			d.Desired = s.Recommended
		}
		return
	}
	p := in.Policy
	wants := demands(in)
	ready := math.Max(1, float64(in.Replicas.Ready))
	d.Stable = math.Ceil(wants.stable / p.Target)
	d.Panic = math.Ceil(wants.short / p.Target)

	stableReason, panicReason := wants.stableWhy, wants.shortWhy
	if who != nobody && d.Stable < 1 {
		d.Stable, stableReason = 1, who // whatever the average says, someone waits
	}

	stableWants, stableReason := limitRate(in, d.Stable, ready, stableReason)
	panicWants, panicReason := limitRate(in, d.Panic, ready, panicReason)
	stableWants, stableReason = activate(p, d.Stable, stableWants, stableReason)
	panicWants, panicReason = activate(p, d.Panic, panicWants, panicReason)

	trackPanic(in, s, panicking(d.Panic, ready, p.PanicThreshold))
	count, reason := stableWants, stableReason
	if !s.PanicSince.IsZero() {
		if panicWants > count {
			count, reason = panicWants, panicReason
		}
		switch {
		case count > s.PanicReplicas:
			s.PanicReplicas = count
		case count < s.PanicReplicas:
			count, reason = s.PanicReplicas, PanicKeeps
		}
	}
	if in.Reachable && p.ScaleDownDelay > 0 {
		s.Peaks = remember(s.Peaks, in.Now, count, p.ScaleDownDelay)
		if highest := s.Peaks[0].Replicas; highest != count {
			count, reason = highest, ScaleDownDelay
		}
	}
	s.Recommended, s.Known = count, true
	s.ExcessBurst = excessBurst(in, wants.short)
	d.Desired, d.Reason = count, reason
}

// demand is what is asked for, in units of the metric, and why.
type demand struct {
	stable, short       float64
	stableWhy, shortWhy Reason
}

// demands returns what the two windows measured, with what waits counted at once: a held request is demand now, not when the window has seen
// enough of it; so is a delivery that is due.
func demands(in Input) demand {
	w := in.Window
	d := demand{w.Stable.Mean, w.Panic.Mean, StableDemand, PanicDemand}
	waiting, running, why := due(in), 0., BacklogDemand
	if in.Policy.Metric != autoscaling.RPS {
		// For rates the arrivals that are held are in the window already.
		if w.Held >= waiting {
			why = HeldDemand
		}
		waiting, running = waiting+w.Held, w.Inflight
	}
	if waiting > 0 {
		now := running + waiting
		if w.Stable.Covered <= 0 {
			d.stable, d.stableWhy = now, why
		}
		d.atLeast(0, now, why)
	}
	if least := backlogDemand(in); least > 0 {
		d.atLeast(least, least, BacklogDemand)
	}
	return d
}

// atLeast raises the demand.
func (d *demand) atLeast(stable, short float64, why Reason) {
	if stable > d.stable {
		d.stable, d.stableWhy = stable, why
	}
	if short > d.short {
		d.short, d.shortWhy = short, why
	}
}

// backlogDemand is the demand of as many replicas as the policy wants for what waits, and no more than deliveries are going to overlap.
func backlogDemand(in Input) float64 {
	b, each := in.Window.Backlog, in.Policy.BacklogTarget
	if each <= 0 {
		return 0
	}
	return min(b.Waiting/each, b.AtOnce) * in.Policy.Target
}

// due is what of the backlog is demand now, in units of the metric.
func due(in Input) float64 {
	if in.Policy.Metric == autoscaling.RPS {
		return in.Window.Backlog.PerSecond
	}
	return in.Window.Backlog.Due
}

// nobody is that no one waits.
const nobody Reason = ""

// waits says who waits for a replica: a request that is held, an event that is to be delivered, or nobody.
func waits(in Input) Reason {
	switch {
	case in.Window.Held > 0:
		return HeldDemand
	case due(in) > 0 || in.Window.Backlog.Waiting > 0 && in.Policy.BacklogTarget > 0:
		return BacklogDemand
	}
	return nobody
}

// limitRate keeps wants within the rates of change, which are ratios to what is ready.
// The upper end is rounded up and the lower one down, so that a small rate still moves by one.
func limitRate(in Input, wants, ready float64, reason Reason) (int32, Reason) {
	most := math.Ceil(in.Policy.MaxScaleUpRate * ready)
	least := 0.
	if in.Reachable {
		least = math.Floor(ready / in.Policy.MaxScaleDownRate)
	}
	switch {
	case wants > most:
		return toCount(most), MaxScaleUpRate
	case wants < least:
		return toCount(least), MaxScaleDownRate
	}
	return toCount(wants), reason
}

// activate raises a number that demand makes other than zero to the activation scale.
func activate(p autoscaling.Policy, demand float64, wants int32, reason Reason) (int32, Reason) {
	if demand > 0 && wants < p.ActivationScale {
		return p.ActivationScale, ActivationScale
	}
	return wants, reason
}

// panicking reports whether the short window asks for at least threshold times the replicas that are ready.
// threshold is a ratio (2 means twice), ready is at least 1.
func panicking(short, ready, threshold float64) bool { return short/ready >= threshold }

// trackPanic enters panic mode at a crossing, extends it at further ones, and leaves it one stable window after the last.
func trackPanic(in Input, s *State, crossed bool) {
	over := !s.PanicSince.IsZero() && s.PanicSince.Add(in.Policy.StableWindow).Before(in.Now)
	if over && s.PanicSince.Add(in.Policy.StableWindow+2*in.Options.tick()).Before(in.Now) {
		// It ended while nobody looked, as with a revision that slept: the replicas of then say nothing about now.
		s.PanicSince, s.PanicReplicas = time.Time{}, 0
	}
	switch {
	case crossed:
		s.PanicSince = in.Now
	case over:
		s.PanicSince, s.PanicReplicas = time.Time{}, 0
	}
}

// excessBurst returns the requests that could still come beyond target-burst-capacity; -1 and 0 stand for always and never.
func excessBurst(in Input, short float64) int32 {
	switch tbc := in.Policy.TargetBurstCapacity; {
	case tbc == 0:
		return 0
	case tbc > 0:
		return toCount(math.Floor(float64(in.Replicas.Ready)*in.Policy.Total - tbc - short))
	}
	return -1
}

// toCount converts without overflow.
func toCount(f float64) int32 {
	return int32(math.Max(math.MinInt32, math.Min(math.MaxInt32, f)))
}

// delayGranularity is the time that one entry of the scale-down delay stands for.
const delayGranularity = 2 * time.Second

// Peak is the largest recommendation in one slot of the scale-down delay.
type Peak struct {
	// Slot counts delayGranularity since 1970.
	Slot     int64 `json:"slot"`
	Replicas int32 `json:"replicas"`
}

// remember returns the peaks of the last delay with wants added: a list that falls from its first entry, the highest, to its
// last, the newest. Entries that a newer and larger one outlives are not kept. peaks is not changed.
func remember(peaks []Peak, now time.Time, wants int32, delay time.Duration) []Peak {
	slot := now.Unix() / int64(delayGranularity/time.Second)
	slots := int64(math.Ceil(float64(delay) / float64(delayGranularity)))
	var kept []Peak
	for _, p := range peaks {
		if slot-p.Slot < slots && p.Replicas > wants {
			kept = append(kept, p)
		}
	}
	if n := len(kept); n > 0 && kept[n-1].Slot == slot {
		return kept // the larger one of the same slot stands
	}
	return append(kept, Peak{Slot: slot, Replicas: wants})
}
