package signal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// traffic is requests at random times, what a proxy would report of them, and the truth.
type traffic struct {
	reports []Sample
	truth   []float64 // request-seconds in each interval
}

const reportInterval = 0.2 // seconds

// simulate lets requests arrive at rate (at most peak) per second for length seconds; each takes what duration says.
func simulate(length, peak float64, rate func(t float64) float64, duration func() float64, random *rand.Rand) traffic {
	n := int(length/reportInterval + 0.5)
	tr := traffic{reports: make([]Sample, n), truth: make([]float64, n)}
	slot := func(t float64) int { return int(t / reportInterval) }
	for t := random.ExpFloat64() / peak; t < length; t += random.ExpFloat64() / peak {
		if random.Float64()*peak > rate(t) {
			continue
		}
		end := t + duration()
		tr.reports[min(slot(t), n-1)].Requests++
		if slot(end) < n {
			tr.reports[slot(end)].Finished += end - t
		}
		for k := slot(t); k < n && float64(k)*reportInterval < end; k++ {
			from, to := math.Max(t, float64(k)*reportInterval), math.Min(end, float64(k+1)*reportInterval)
			tr.truth[k] += math.Max(0, to-from)
			if end > float64(k+1)*reportInterval {
				tr.reports[k].Inflight++
			}
		}
	}
	return tr
}

// estimate runs the estimator, or gauges or times alone.
func (tr traffic) estimate(how string) []float64 {
	var e estimator
	out := make([]float64, len(tr.reports))
	for i, s := range tr.reports {
		s.NoTimes = how == "gauge"
		out[i] = e.interval(s, reportInterval)
		if how == "times" {
			out[i] = s.Finished
		}
	}
	return out
}

// errors compares estimates with the truth over windows of so many intervals: relative RMS error and bias.
func (tr traffic) errors(estimates []float64, window int) (rms, bias float64) {
	squares, differences, total, n := 0., 0., 0., 0.
	for k := window; k <= len(estimates); k += window {
		estimated, truth := 0., 0.
		for i := k - window; i < k; i++ {
			estimated += estimates[i]
			truth += tr.truth[i]
		}
		squares += (estimated - truth) * (estimated - truth)
		differences += estimated - truth
		total += truth
		n++
	}
	return math.Sqrt(squares/n) / (total / n), differences / total
}

var lengths = map[string]func(mean float64, random *rand.Rand) func() float64{
	"equal": func(mean float64, _ *rand.Rand) func() float64 { return func() float64 { return mean } },
	"exponential": func(mean float64, r *rand.Rand) func() float64 {
		return func() float64 { return mean * r.ExpFloat64() }
	},
	"long tail": func(mean float64, r *rand.Rand) func() float64 {
		return func() float64 { return mean * math.Exp(1.2*r.NormFloat64()-.72) }
	},
}

// The measurement that the choice of estimator rests on: run with -v to see it.
func TestEstimatorIsNeverMuchWorseThanGaugesAndFarBetterForShortRequests(t *testing.T) {
	const panicWindow, seconds = 30, 1200
	for name, length := range lengths {
		for _, mean := range []float64{.005, .02, .1, .3, 1, 5} {
			for _, concurrency := range []float64{2, 50} {
				random := rand.New(rand.NewPCG(7, uint64(mean*1000)))
				rate := concurrency / mean
				tr := simulate(seconds, rate, func(float64) float64 { return rate }, length(mean, random), random)
				gauge, _ := tr.errors(tr.estimate("gauge"), panicWindow)
				times, _ := tr.errors(tr.estimate("times"), panicWindow)
				mixed, bias := tr.errors(tr.estimate("both"), panicWindow)
				t.Logf("%-11s %4.0f ms, concurrency %2.0f: error over 6 s: gauge %4.1f %%, times %5.1f %%, both %4.1f %% (bias %+.1f %%)",
					name, mean*1000, concurrency, gauge*100, times*100, mixed*100, bias*100)
				what := fmt.Sprintf("%s, %v s, concurrency %v", name, mean, concurrency)
				if mixed > 1.1*gauge+.002 {
					t.Errorf("%s: %.3f is worse than gauges alone, %.3f", what, mixed, gauge)
				}
				if mean <= .02 && mixed > gauge/4 {
					t.Errorf("%s: %.3f is no better than a quarter of the gauges' %.3f", what, mixed, gauge)
				}
				if math.Abs(bias) > .01 {
					t.Errorf("%s: bias %.3f", what, bias)
				}
			}
		}
	}
}

func TestEstimatorSeesAStepWithinTheFirstSecond(t *testing.T) {
	for name, length := range lengths {
		for _, mean := range []float64{.02, .1, .3, 1, 5} {
			seen, truth := 0., 0.
			for seed := range uint64(10) {
				random := rand.New(rand.NewPCG(seed, 1))
				tr := simulate(20, 50/mean, func(at float64) float64 {
					if at < 10 {
						return 1 / mean
					}
					return 50 / mean
				}, length(mean, random), random)
				estimates := tr.estimate("both")
				for i := 50; i < 55; i++ {
					seen += estimates[i]
					truth += tr.truth[i]
				}
			}
			t.Logf("%-11s %4.0f ms: %.0f %% of the first second", name, mean*1000, 100*seen/truth)
			if seen < .88*truth || seen > 1.1*truth {
				t.Errorf("%s, %v s: saw %.2f of a step in its first second", name, mean, seen/truth)
			}
		}
	}
}

func TestEstimatorCountsRequestsThatNeverEnd(t *testing.T) {
	var e estimator
	sum := 0.
	for i := range 300 {
		s := Sample{Inflight: 10}
		if i == 0 {
			s.Requests = 10
		}
		sum += e.interval(s, reportInterval)
	}
	if want := 10 * (300 - .5) * reportInterval; math.Abs(sum-want) > .01*want {
		t.Errorf("10 open streams for a minute are %.1f request-seconds, got %.1f", want, sum)
	}
}

// 2,000 requests a second of 5 ms each; then the app hangs, and either they go on coming or the clients wait.
func TestEstimatorSeesAnAppThatHangs(t *testing.T) {
	for _, goOn := range []bool{true, false} {
		var e estimator
		perReport := 2000 * reportInterval
		for range 300 {
			e.interval(Sample{Inflight: 10, Requests: perReport, Finished: 10 * reportInterval}, reportInterval)
		}
		inflight := 10.
		var seen, truth [2]float64
		for i := range 10 {
			s := Sample{Requests: perReport}
			if !goOn && i > 0 {
				s.Requests = 0
			}
			truth[i/5] += (inflight + s.Requests/2) * reportInterval
			inflight += s.Requests
			s.Inflight = inflight
			seen[i/5] += e.interval(s, reportInterval)
		}
		t.Logf("requests go on %v: saw %.0f %% in the first second, %.0f %% in the next", goOn, 100*seen[0]/truth[0], 100*seen[1]/truth[1])
		if seen[0] < .6*truth[0] || seen[1] < .9*truth[1] {
			t.Errorf("requests go on %v: saw %.2f and %.2f", goOn, seen[0]/truth[0], seen[1]/truth[1])
		}
	}
}
