package warmpath

import (
	"fmt"

	"ebb.dev/ebb/test/bench/load"
	"ebb.dev/ebb/test/bench/report"
	"ebb.dev/ebb/test/bench/stats"
)

// What should be reached, as ratios to the static pair.
const (
	mostLatency = 1.05
	mostCPU     = 1.12
)

// Section shows what was measured.
func Section(name, node string, r Result) report.Section {
	s := report.Section{
		Name: name, Title: "Warm path on " + node,
		About: fmt.Sprintf("Kept HTTP/1.1 connections to one pod, by the four ways, in turns. Latencies at a fixed %.0f requests/s (a quarter of what the static pair bears), counted from when each request should have begun, once %v of that rate have gone before; "+
			"requests/s as fast as %d connections go. Each static Envoy has a session of its own, as Ebb's have, and all Envoys are started anew after every few rounds. On a kubelet with sidecars the static one is in a pod of its own, like Ebb's. Processor time is of the Envoys; that of the control plane and the agents beside them stands apart. Ratios of times are medians over rounds, each within its round, with the interval that holds the true one in 95 %% of such runs (of the sign test); those of processor time are of the sums.", r.Rate, steadyWarmup, r.Connections),
		Data: r,
	}
	if len(r.Measurements) == 0 {
		s.Missing = "nothing was measured"
		return s
	}
	t := report.Table{Columns: []string{"way", "p50 ms", "p99 ms", "requests/s", "p50 ms saturated", "p99 ms saturated", "CPU-s per 10,000", "the same, saturated", "control plane's", "errors"}}
	plot := report.Plot{Title: "Latency at the fixed rate", Unit: "ms, up to the 99.5th percentile"}
	for _, subject := range []string{direct, single, pairOf, r.Ebb} {
		of := r.of(subject)
		if len(of) == 0 {
			continue
		}
		var errors uint64
		var steady stats.Histogram
		for _, m := range of {
			errors += m.Errors
			steady.Merge(m.Steady.Latency)
		}
		t.Add(subject, median(of, p50), median(of, p99), median(of, perSecond), median(of, saturatedP50), median(of, saturatedP99),
			each(of, steadyProxies), each(of, busyProxies), each(of, steadyRest), errors)
		plot.Series = append(plot.Series, report.Series{Name: subject, Samples: curve(load.Result{Latency: steady})})
		if subject == r.Ebb {
			s.Targets = append(s.Targets, report.NewTarget("errors", float64(errors), 0, ""))
		}
	}
	ratios := report.Table{Title: "Ebb against the static pair", Columns: []string{"figure", "ratio", "95 % from", "to"}}
	ebb, pair := r.of(r.Ebb), r.of(pairOf)
	for _, row := range []struct {
		name   string
		figure func(Measurement) float64
		target bool
	}{
		{"p50", p50, true}, {"p99", p99, true}, {"p50 saturated", saturatedP50, false}, {"p99 saturated", saturatedP99, false},
		{"time per request at saturation", secondsEach, false},
	} {
		over := figures(ebb, row.figure).Over(figures(pair, row.figure))
		low, high := over.MedianBetween()
		ratios.Add(row.name, over.Median(), low, high)
		if row.target {
			s.Targets = append(s.Targets, report.NewTarget(row.name+" against the static pair", over.Median(), mostLatency, "×"))
		}
	}
	// Processor time comes in steps of 10 ms: only the sums of all rounds are exact enough.
	steadyCPU := each(ebb, steadyProxies) / each(pair, steadyProxies)
	ratios.Add("CPU per request, Envoys", steadyCPU, "", "")
	ratios.Add("CPU per request, Envoys, control plane and agents", (each(ebb, steadyProxies)+each(ebb, steadyRest))/each(pair, steadyProxies), "", "")
	ratios.Add("CPU per request, Envoys, saturated", each(ebb, busyProxies)/each(pair, busyProxies), "", "")
	s.Targets = append(s.Targets, report.NewTarget("CPU per request against the static pair", steadyCPU, mostCPU, "×"))
	s.Tables, s.Plots = []report.Table{t, ratios}, []report.Plot{plot}
	return s
}

func p50(m Measurement) float64          { return m.P50 }
func p99(m Measurement) float64          { return m.P99 }
func perSecond(m Measurement) float64    { return m.PerSecond }
func secondsEach(m Measurement) float64  { return 1 / m.PerSecond }
func saturatedP50(m Measurement) float64 { return m.SaturatedP50 }
func saturatedP99(m Measurement) float64 { return m.SaturatedP99 }

func steadyProxies(m Measurement) (float64, uint64) {
	return m.SteadyCost.Proxies, m.SteadyCost.Requests
}
func steadyRest(m Measurement) (float64, uint64)  { return m.SteadyCost.Rest, m.SteadyCost.Requests }
func busyProxies(m Measurement) (float64, uint64) { return m.BusyCost.Proxies, m.BusyCost.Requests }

// each is the processor time of 10,000 requests, over all rounds.
func each(of []Measurement, cost func(Measurement) (float64, uint64)) float64 {
	seconds, requests := 0.0, uint64(0)
	for _, m := range of {
		s, n := cost(m)
		seconds += s
		requests += n
	}
	return seconds / float64(requests) * 10000
}

// of lists one subject's measurements by round.
func (r Result) of(subject string) []Measurement {
	var out []Measurement
	for _, m := range r.Measurements {
		if m.Subject == subject {
			out = append(out, m)
		}
	}
	return out
}

func figures(of []Measurement, f func(Measurement) float64) stats.Samples {
	var out stats.Samples
	for _, m := range of {
		out = append(out, f(m))
	}
	return out
}

func median(of []Measurement, f func(Measurement) float64) float64 { return figures(of, f).Median() }

// curve is a histogram as samples for a plot.
func curve(r load.Result) stats.Samples {
	var out stats.Samples
	for permille := 5; permille < 1000; permille += 5 {
		out = append(out, float64(r.Latency.Quantile(float64(permille)/1000).Microseconds())/1000)
	}
	return out
}
