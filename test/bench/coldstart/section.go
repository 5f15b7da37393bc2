package coldstart

import (
	"fmt"
	"slices"

	"ebb.dev/ebb/test/bench/report"
	"ebb.dev/ebb/test/bench/stats"
)

// What should be reached, in milliseconds over the bare start.
const (
	mostP50 = 30
	mostP99 = 80
	// mostGrowth is how much later a start may be answered, at the median, with the most services than with the fewest, and
	// at a service's first wake than later: "as fast" within what a quiet machine repeats.
	mostGrowth = 1.1
)

// steps are the phases as they are shown: each with the names of what was recorded at its end.
var steps = []struct {
	name, end, about string
}{
	{"request → held", "held", "gateway asks the hold"},
	{"held → decided", "decided", "autoscaler"},
	{"decided → scaled", "scaled", "scale patch"},
	{"scaled → created", "created", "Deployment and ReplicaSet controllers"},
	{"created → address known", "addressed", "scheduler, node: sandbox"},
	{"address known → started", "started", "node: container"},
	{"started → app listens", "listening", "the app"},
	{"app listens → app answers", "answering", "health check by the replica's proxy"},
	{"app answers → ready", "ready", "the replica's proxy, if it was later"},
	{"ready → pushed", "pushed", "control plane"},
	{"pushed → ACKed", "acked", "gateway"},
	{"ACKed → released", "released", "hold"},
	{"released → answered", "answered", "gateway → replica → app → client"},
}

// offsets are when each step ended, from the request.
func (s Start) offsets() map[string]float64 {
	out := map[string]float64{"held": s.Arrived, "listening": s.AppListening, "answered": s.Answered}
	for phase, after := range s.Phases {
		out[phase] = s.Arrived + after
	}
	return out
}

// durations are how long each step took; a step whose end was before another's began took nothing.
func (s Start) durations() []float64 {
	offsets, at := s.offsets(), 0.0
	out := make([]float64, len(steps))
	for i, step := range steps {
		if end, seen := offsets[step.end]; seen && end > at {
			out[i], at = end-at, end
		}
	}
	return out
}

// Section shows what was measured on one kind of node.
func Section(name, node string, starts []Start, rests []Rest) report.Section {
	s := report.Section{
		Name:  name,
		Title: "Cold start on " + node,
		About: "From a client's request to a service at zero until its whole answer, against the scale patch of a plain Deployment with the same pod until its port accepts, which the app itself says. In turns, one at a time. " +
			"“over” is the difference of both columns at the same quantile; “paired” that of each two neighbours.",
		Data: starts,
	}
	if len(starts) == 0 {
		s.Missing = "no start was measured"
		return s
	}
	answered, listening := Answered(starts), Listening(starts)
	over50, over99 := answered.Median()-listening.Median(), answered.Quantile(0.99)-listening.Quantile(0.99)
	s.Targets = []report.Target{
		report.NewTarget("p50 over the bare start", over50, mostP50, "ms"),
		report.NewTarget("p99 over the bare start", over99, mostP99, "ms"),
	}
	s.Tables = append(s.Tables, groups(starts, &s), phasesTable(starts), bareTable(starts), restTable(rests))
	s.Plots = []report.Plot{
		{Title: "Start to answer", Unit: "ms", Series: []report.Series{{Name: "Ebb, answered", Samples: answered}, {Name: "bare, listening", Samples: listening}}},
		{Title: "Where it goes (means)", Unit: "ms", Bars: bars(starts)},
	}
	return s
}

// groups compares first wakes with later ones, and few services with many.
func groups(starts []Start, s *report.Section) report.Table {
	t := report.Table{Title: "Milliseconds", Columns: []string{"services at zero", "wake", "n", "Ebb p50", "Ebb p99", "bare p50", "bare p99", "over p50", "over p99", "paired p50", "paired p99"}}
	add := func(services any, wake string, of []Start) {
		a, l := Answered(of), Listening(of)
		if len(of) == 0 {
			return
		}
		paired := a.Minus(l)
		t.Add(services, wake, len(of), a.Median(), a.Quantile(0.99), l.Median(), l.Quantile(0.99),
			a.Median()-l.Median(), a.Quantile(0.99)-l.Quantile(0.99), paired.Median(), paired.Quantile(0.99))
	}
	scales := scalesOf(starts)
	for _, scale := range scales {
		add(scale, "first", filter(with(starts, scale), func(s Start) bool { return s.First }))
		add(scale, "later", filter(with(starts, scale), func(s Start) bool { return !s.First }))
	}
	add("all", "all", starts)
	first := Answered(filter(starts, func(s Start) bool { return s.First })).Median()
	later := Answered(filter(starts, func(s Start) bool { return !s.First })).Median()
	s.Targets = append(s.Targets, report.NewTarget("first wake against later ones, p50", first/later, mostGrowth, "×"))
	if few, many := scales[0], scales[len(scales)-1]; few != many {
		growth := func(of func([]Start) stats.Samples) float64 {
			return of(with(starts, many)).Median() / of(with(starts, few)).Median()
		}
		s.Targets = append(s.Targets, report.NewTarget(fmt.Sprintf("%d services at zero against %d, p50", many, few), growth(Answered), mostGrowth, "×"))
		s.About += fmt.Sprintf(" Scales are measured one after another: with %d services against %d the bare start, at the median, took %.2f times as long.", many, few, growth(Listening))
	}
	return t
}

// scalesOf are the numbers of services, in the order of the run.
func scalesOf(starts []Start) []int {
	var out []int
	for _, s := range starts {
		if !slices.Contains(out, s.Services) {
			out = append(out, s.Services)
		}
	}
	return out
}

// with are the starts with a number of services.
func with(starts []Start, services int) []Start {
	return filter(starts, func(s Start) bool { return s.Services == services })
}

func filter(starts []Start, keep func(Start) bool) []Start {
	var out []Start
	for _, s := range starts {
		if keep(s) {
			out = append(out, s)
		}
	}
	return out
}

func phasesTable(starts []Start) report.Table {
	t := report.Table{Title: "Ebb by phase, milliseconds each took", Columns: append(phaseColumns(starts), "who")}
	for i, step := range steps {
		t.Add(append(phase(step.name, starts, func(s Start) float64 { return s.durations()[i] }), step.about)...)
	}
	programmed := phase("beside: address known → the replica's proxy listens", starts, func(s Start) float64 { return s.Phases["programmed"] - s.Phases["addressed"] })
	t.Add(append(programmed, "control plane, the replica's Envoy")...)
	return t
}

func bareTable(starts []Start) report.Table {
	t := report.Table{Title: "Bare by phase, milliseconds each took", Columns: phaseColumns(starts)}
	t.Add(phase("scale patch → created", starts, func(s Start) float64 { return s.Created })...)
	t.Add(phase("created → app listens", starts, func(s Start) float64 { return s.Listening - s.Created })...)
	return t
}

func phaseColumns(starts []Start) []string {
	out := []string{"phase", "p50", "p99"}
	for _, scale := range scalesOf(starts) {
		out = append(out, fmt.Sprintf("p50 with %d", scale))
	}
	return out
}

// phase is a row of phaseColumns.
func phase(name string, starts []Start, took func(Start) float64) []any {
	all := each(starts, took)
	row := []any{name, all.Median(), all.Quantile(0.99)}
	for _, scale := range scalesOf(starts) {
		row = append(row, each(with(starts, scale), took).Median())
	}
	return row
}

// restTable shows what services at zero cost where nobody asks for them.
func restTable(rests []Rest) report.Table {
	t := report.Table{Title: "At rest", Columns: []string{"services at zero", "process", "MiB", "% of a core"}}
	for _, rest := range rests {
		for _, part := range rest.Parts {
			t.Add(rest.Services, part.Name, part.PSS, part.CPU)
		}
	}
	return t
}

// bars are means: those of parts add up to that of the whole, which medians do not.
func bars(starts []Start) []report.Bar {
	ebb := report.Bar{Name: "Ebb"}
	for i, step := range steps {
		ebb.Parts = append(ebb.Parts, report.Part{Name: step.name, Value: mean(each(starts, func(s Start) float64 { return s.durations()[i] }))})
	}
	return []report.Bar{ebb, {Name: "bare", Parts: []report.Part{
		{Name: "scaled → created", Value: mean(each(starts, func(s Start) float64 { return s.Created }))},
		{Name: "created → app listens", Value: mean(each(starts, func(s Start) float64 { return s.Listening - s.Created }))},
	}}}
}

func mean(s stats.Samples) float64 {
	sum := 0.0
	for _, v := range s {
		sum += v
	}
	return sum / float64(len(s))
}
