package stats

import (
	"math"
	"slices"
)

// Samples are measurements of one thing, in one unit.
type Samples []float64

// Quantile is the smallest sample that at least the share q of them does not exceed; NaN without samples.
func (s Samples) Quantile(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Clone(s)
	slices.Sort(sorted)
	return sorted[min(len(sorted)-1, max(0, int(math.Ceil(q*float64(len(sorted))))-1))]
}

// Median is Quantile(0.5).
func (s Samples) Median() float64 { return s.Quantile(0.5) }

// MedianBetween is where the median of all such samples lies, of which these are some, with 95 % or more: the interval of the sign test, from the
// k-th smallest to the k-th largest sample, which supposes nothing of how they are distributed. Fewer than six samples cannot say: NaN.
func (s Samples) MedianBetween() (low, high float64) {
	n, k := len(s), 0
	// The median has fewer than k samples below it as often as n coins show fewer than k heads.
	for below := heads(n, 0); below <= 0.025; below += heads(n, k) {
		k++
	}
	if k == 0 {
		return math.NaN(), math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[k-1], sorted[n-k]
}

// heads is how likely n coins show k heads.
func heads(n, k int) float64 {
	log := func(n int) float64 { l, _ := math.Lgamma(float64(n + 1)); return l }
	return math.Exp(log(n) - log(k) - log(n-k) - float64(n)*math.Ln2)
}

// Max is the largest sample.
func (s Samples) Max() float64 { return s.Quantile(1) }

// Minus is the difference of each sample and its partner in the other, up to the shorter of both.
func (s Samples) Minus(other Samples) Samples {
	return pairs(s, other, func(a, b float64) float64 { return a - b })
}

// Over is the ratio of each sample and its partner in the other.
func (s Samples) Over(other Samples) Samples {
	return pairs(s, other, func(a, b float64) float64 { return a / b })
}

func pairs(a, b Samples, f func(a, b float64) float64) Samples {
	out := make(Samples, 0, min(len(a), len(b)))
	for i := range min(len(a), len(b)) {
		out = append(out, f(a[i], b[i]))
	}
	return out
}
