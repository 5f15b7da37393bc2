package decide

import (
	"math"
	"time"

	"ebb.dev/ebb/crds/autoscaling"
)

// Bucket is what was measured in one second of the clock.
type Bucket struct {
	// Sum is the metric integrated over the second: request-seconds for a concurrency, requests for a rate.
	Sum float64
	// Covered is the seconds of it that were measured, from 0 to 1.
	Covered float64
}

const (
	// leastDecay keeps a weighted average of a long window from becoming the plain one.
	leastDecay = 0.2
	// weightPrecision is the least sum of the weights of a full window.
	weightPrecision = 0.9999
	// linearDigits is the precision of a plain average: float noise must not add a replica.
	linearDigits = 1e6
)

// Averaging says how a window is averaged.
type Averaging struct {
	// Window is how far back to look, in whole seconds.
	Window time.Duration
	// Algorithm is autoscaling.Linear or autoscaling.WeightedExponential.
	Algorithm string
	// Rate says that the metric is counted and not held: what came within less than a second is taken for that second's.
	Rate bool
}

// Average returns the mean of the window before now.
//
// buckets[0] is the second that now lies in, of which elapsed (0 to 1) is over; buckets[i] is the second i before it.
// There must be enough of them: one more than the window has seconds. A window that is not measured to its full length
// counts its own; with Linear an unmeasured second is left out, with WeightedExponential it is 0.
func Average(buckets []Bucket, elapsed float64, a Averaging) Demand {
	n := int(math.Ceil(a.Window.Seconds()))
	if a.Algorithm == autoscaling.WeightedExponential {
		return weighted(buckets, elapsed, n, a.Rate)
	}
	return linear(buckets, elapsed, n, a.Rate)
}

// linear weighs all of the window equally. Of the oldest second only what is not older than the window counts.
func linear(buckets []Bucket, elapsed float64, n int, rate bool) Demand {
	var total Bucket
	for i := 0; i < n && i < len(buckets); i++ {
		total = total.plus(buckets[i])
	}
	if n < len(buckets) {
		total = total.plus(buckets[n].share(1 - elapsed))
	}
	if total.Covered <= 0 {
		return Demand{}
	}
	return Demand{Mean: math.Round(total.mean(rate)*linearDigits) / linearDigits, Covered: seconds(total.Covered)}
}

// weighted lets the weight of a second fall by the same share with each second of age.
// The seconds it weighs end at now, so each is made of the two of the clock that it overlaps.
func weighted(buckets []Bucket, elapsed float64, n int, rate bool) Demand {
	decay := math.Max(1-math.Pow(1-weightPrecision, 1/float64(n)), leastDecay)
	mean, covered, weight := 0., 0., decay
	for i := 0; i < n && i < len(buckets); i++ {
		second := buckets[i]
		if i > 0 {
			second = second.share(elapsed)
		}
		if i+1 < len(buckets) {
			second = second.plus(buckets[i+1].share(1 - elapsed))
		}
		if second.Covered > 0 {
			mean += weight * second.mean(rate)
			covered += second.Covered
		}
		weight *= 1 - decay
	}
	return Demand{Mean: mean, Covered: seconds(covered)}
}

func (b Bucket) plus(other Bucket) Bucket {
	return Bucket{Sum: b.Sum + other.Sum, Covered: b.Covered + other.Covered}
}

// mean is what the sum comes to in each measured second.
func (b Bucket) mean(rate bool) float64 {
	if rate {
		return b.Sum / math.Max(1, b.Covered)
	}
	return b.Sum / b.Covered
}

// share is the part of a bucket, taken as even within the second.
func (b Bucket) share(part float64) Bucket {
	return Bucket{Sum: b.Sum * part, Covered: b.Covered * part}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
