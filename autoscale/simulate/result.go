package simulate

import (
	"math"
	"slices"
	"time"

	"ebb.dev/ebb/crds/autoscaling"
)

// Step is a stretch of simulated time. Counts of requests and replicas are means over it unless said otherwise.
type Step struct {
	// At is its beginning, in seconds.
	At float64 `json:"at"`
	// Arrived is the requests that came, per second.
	Arrived float64 `json:"arrived"`
	// Offered is the requests in flight that there would be if none had to wait.
	Offered float64 `json:"offered"`
	// Inflight is the requests that replicas work on.
	Inflight float64 `json:"inflight"`
	// Waiting is the requests that wait for a replica.
	Waiting float64 `json:"waiting"`
	// Ready is the replicas that take requests; Pods is all that exist.
	Ready float64 `json:"ready"`
	Pods  float64 `json:"pods"`
	// Wanted is the most replicas that were asked for in the step.
	Wanted int32 `json:"wanted"`
	// Needed is the replicas that the target asks for, with no delay.
	Needed int `json:"needed"`
	// Panicking is true if any decision in the step was made in panic mode.
	Panicking bool `json:"panicking,omitempty"`
}

// Summary is what a simulation comes to. Times are in seconds.
type Summary struct {
	Requests int     `json:"requests"`
	Length   float64 `json:"length"`

	// PodSeconds is what was paid for; NeededPodSeconds is what the target asks for in every step, with no delay.
	PodSeconds       float64 `json:"podSeconds"`
	NeededPodSeconds float64 `json:"neededPodSeconds"`
	// MaxPods and NeededPods are the most at any moment and in any step; Overshoot is their ratio.
	MaxPods    int     `json:"maxPods"`
	NeededPods int     `json:"neededPods"`
	Overshoot  float64 `json:"overshoot"`
	// Asleep is the time without a replica.
	Asleep float64 `json:"asleep"`

	// Waited is the share of requests that had to wait at all, from 0 to 1.
	Waited float64 `json:"waited"`
	Wait   Waits   `json:"wait"`
	// MaxWaiting is the most requests that waited at once.
	MaxWaiting int `json:"maxWaiting"`
	// Unanswered is the requests that were still waiting when the simulation ended.
	Unanswered int `json:"unanswered,omitempty"`

	Wakes      int `json:"wakes"`
	ScaleUps   int `json:"scaleUps"`
	ScaleDowns int `json:"scaleDowns"`
	Decisions  int `json:"decisions"`
}

// Waits is how long requests waited before a replica took them up, in seconds.
type Waits struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

// Result is a whole simulation.
type Result struct {
	Policy autoscaling.Policy `json:"-"`
	// Step is the length of each of Steps, in seconds.
	Step    float64 `json:"step"`
	Summary Summary `json:"summary"`
	Steps   []Step  `json:"steps"`
}

// summarizeWaits returns the quantiles of waits, and the share of those that are not 0.
func summarizeWaits(waits []time.Duration) (w Waits, waited float64) {
	if len(waits) == 0 {
		return Waits{}, 0
	}
	slices.Sort(waits)
	quantile := func(q float64) float64 {
		return round(waits[min(len(waits)-1, int(math.Ceil(q*float64(len(waits))))-1)].Seconds())
	}
	sum, some := 0., 0
	for _, d := range waits {
		sum += d.Seconds()
		if d > 0 {
			some++
		}
	}
	n := float64(len(waits))
	return Waits{Mean: round(sum / n), P50: quantile(.5), P95: quantile(.95), P99: quantile(.99), Max: quantile(1)}, round(float64(some) / n)
}

// round keeps what means something: a tenth of a millisecond, of a replica or of a request.
func round(f float64) float64 { return math.Round(f*1e4) / 1e4 }
