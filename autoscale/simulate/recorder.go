package simulate

import (
	"math"
	"time"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/crds/autoscaling"
)

// recorder adds up what happens. Until the result is made, its steps hold sums over time and not means.
type recorder struct {
	step    time.Duration
	at      time.Duration // up to where it has added up
	steps   []Step
	waits   []time.Duration
	asleep  time.Duration
	offered []float64 // request-seconds in each step, as if none had to wait: it runs ahead of the steps
	summary Summary
}

// advance adds the time up to to, in which nothing changed.
func (r *recorder) advance(m *simulation, to time.Duration) {
	for r.at < to {
		i := int(r.at / r.step)
		until := min(to, time.Duration(i+1)*r.step)
		s := r.stepAt(i)
		seconds := (until - r.at).Seconds()
		pods := len(m.replicas) + len(m.starting)
		s.Inflight += seconds * float64(m.busy())
		s.Waiting += seconds * float64(len(m.queue))
		s.Ready += seconds * float64(m.ready())
		s.Pods += seconds * float64(pods)
		s.Wanted = max(s.Wanted, m.wanted)
		r.summary.PodSeconds += seconds * float64(pods)
		r.summary.MaxPods = max(r.summary.MaxPods, pods)
		if pods == 0 {
			r.asleep += until - r.at
		}
		r.at = until
	}
}

func (r *recorder) stepAt(i int) *Step {
	for len(r.steps) <= i {
		r.steps = append(r.steps, Step{At: (time.Duration(len(r.steps)) * r.step).Seconds()})
	}
	return &r.steps[i]
}

// arrived adds what the request asks for, whenever it is served.
func (r *recorder) arrived(m *simulation, a Arrival) {
	r.summary.Requests++
	r.stepAt(int(a.At/r.step)).Arrived++
	for from, end := a.At, a.At+a.Duration; from < end; {
		i := int(from / r.step)
		until := min(end, time.Duration(i+1)*r.step)
		for len(r.offered) <= i {
			r.offered = append(r.offered, 0)
		}
		r.offered[i] += (until - from).Seconds()
		from = until
	}
}

func (r *recorder) served(waited time.Duration) { r.waits = append(r.waits, waited) }

func (r *recorder) decided(d decide.Decision) {
	r.summary.Decisions++
	if d.Panicking {
		r.stepAt(int(r.at / r.step)).Panicking = true
	}
}

func (r *recorder) scaled(from, to int32) {
	switch {
	case to > from:
		r.summary.ScaleUps++
	case to < from:
		r.summary.ScaleDowns++
	}
	if from == 0 && to > 0 {
		r.summary.Wakes++
	}
	s := r.stepAt(int(r.at / r.step))
	s.Wanted = max(s.Wanted, to)
}

// result turns what was added up into means.
func (r *recorder) result(m *simulation) Result {
	r.advance(m, max(m.now, m.end))
	sum := r.summary
	for i := range r.steps {
		s := &r.steps[i]
		seconds := min(r.step.Seconds(), r.at.Seconds()-s.At)
		if seconds <= 0 {
			continue
		}
		if i < len(r.offered) {
			s.Offered = r.offered[i]
		}
		for _, v := range []*float64{&s.Arrived, &s.Offered, &s.Inflight, &s.Waiting, &s.Ready, &s.Pods} {
			*v = round(*v / seconds)
		}
		s.Needed = needed(*s, m.settings.Policy)
		sum.NeededPods = max(sum.NeededPods, s.Needed)
		sum.NeededPodSeconds += float64(s.Needed) * seconds
	}
	sum.Length, sum.Asleep, sum.Unanswered = r.at.Seconds(), round(r.asleep.Seconds()), len(m.queue)
	sum.PodSeconds, sum.NeededPodSeconds = round(sum.PodSeconds), round(sum.NeededPodSeconds)
	sum.Wait, sum.Waited = summarizeWaits(r.waits)
	if sum.NeededPods > 0 {
		sum.Overshoot = math.Round(100*float64(sum.MaxPods)/float64(sum.NeededPods)) / 100
	}
	return Result{Policy: m.settings.Policy, Step: r.step.Seconds(), Summary: sum, Steps: r.steps}
}

// needed is the replicas that a step's demand asks for without delay.
func needed(s Step, p autoscaling.Policy) int {
	demand := s.Offered
	if p.Metric == autoscaling.RPS {
		demand = s.Arrived
	}
	return int(math.Ceil(demand/p.Target - 1e-9))
}
