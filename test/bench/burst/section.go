package burst

import (
	"fmt"

	"ebb.dev/ebb/test/bench/report"
	"ebb.dev/ebb/test/bench/stats"
)

// What should be reached on a light node, and how many replicas are the KPA's own number at containerConcurrency 1: fifty
// requests at a target of 0.7 a replica.
var (
	most         = map[int64]float64{10: 250, 1: 800}
	mostReplicas = map[int64]float64{1: 72}
)

// Section shows what was measured on one kind of node. Without targets the node's own starts decide.
func Section(name, node string, bursts []Burst, targets bool) report.Section {
	s := report.Section{
		Name: name, Title: "Burst on " + node,
		About: fmt.Sprintf("%d requests at once to a service that has been at zero for %s, each with %s of work, until the last answer. The ideal schedule has as many replicas, started by one scale patch without Ebb, and no cost of routing.", requests, settle, work),
		Data:  bursts,
	}
	if len(bursts) == 0 {
		s.Missing = "no burst was measured"
		return s
	}
	t := report.Table{Title: "Milliseconds", Columns: []string{"containerConcurrency", "n", "last answer p50", "max", "median answer", "ideal p50", "× ideal", "first bare replica", "replicas", "errors"}}
	plot := report.Plot{Title: "Until the last answer", Unit: "ms"}
	for _, c := range []int64{10, 1} {
		var took, median, ideal, first, replicas stats.Samples
		errors := 0
		for _, b := range bursts {
			if b.Concurrency != c {
				continue
			}
			took, median, ideal = append(took, b.Took), append(median, b.Median), append(ideal, b.Ideal)
			first, replicas = append(first, b.FirstBare), append(replicas, float64(b.Replicas))
			errors += b.Errors
		}
		if len(took) == 0 {
			continue
		}
		t.Add(c, len(took), took.Median(), took.Max(), median.Median(), ideal.Median(), took.Over(ideal).Median(), first.Median(), replicas.Max(), errors)
		plot.Series = append(plot.Series, report.Series{Name: fmt.Sprintf("Ebb, %d", c), Samples: took}, report.Series{Name: fmt.Sprintf("ideal, %d", c), Samples: ideal})
		s.Targets = append(s.Targets, report.NewTarget(fmt.Sprintf("errors at containerConcurrency %d", c), float64(errors), 0, ""))
		if targets {
			s.Targets = append(s.Targets, report.NewTarget(fmt.Sprintf("last answer at containerConcurrency %d, p50", c), took.Median(), most[c], "ms"))
		}
		if limit := mostReplicas[c]; limit > 0 {
			s.Targets = append(s.Targets, report.NewTarget(fmt.Sprintf("replicas at containerConcurrency %d", c), replicas.Max(), limit, ""))
		}
	}
	s.Tables, s.Plots = []report.Table{t}, []report.Plot{plot}
	return s
}
