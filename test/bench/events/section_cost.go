package events

import (
	"fmt"
	"math"

	"ebb.dev/ebb/test/bench/report"
	"ebb.dev/ebb/test/bench/stats"
)

func (r Result) wakes(s *report.Section) {
	var listening, received, bare stats.Samples
	for _, w := range r.Wakes {
		listening, received, bare = append(listening, w.Listening), append(received, w.Received), append(bare, w.Bare)
	}
	if len(received) == 0 {
		return
	}
	paired := received.Minus(bare)
	t := report.Table{
		Title:   "Woken from zero by an event, durable, milliseconds; in turns with bare starts of the same pods",
		Columns: []string{"quantile", "n", "stored → app listens", "stored → received", "bare start", "over", "paired"},
	}
	for _, q := range []struct {
		name  string
		share float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		over := received.Quantile(q.share) - bare.Quantile(q.share)
		t.Add(q.name, len(received), listening.Quantile(q.share), received.Quantile(q.share), bare.Quantile(q.share), over, paired.Quantile(q.share))
		s.Targets = append(s.Targets, report.NewTarget("wake by an event over the bare start, "+q.name, over, mostWake, "ms"))
	}
	s.Tables = append(s.Tables, t)
	s.Plots = append(s.Plots, report.Plot{Title: "Woken from zero", Unit: "ms", Series: []report.Series{{Name: "stored → received", Samples: received}, {Name: "bare start", Samples: bare}}})
}

func (r Result) costs(s *report.Section) {
	if len(r.Alone.Checks) == 0 {
		return
	}
	checks := report.Table{
		Title:   fmt.Sprintf("Filters of %d Triggers decided on in a second by one core; one passes", r.Alone.Triggers),
		Columns: []string{"filter", "n", "checks/s", "one by one", "ratio"},
	}
	least := math.Inf(1)
	for _, c := range r.Alone.Checks {
		checks.Add(c.Filter, len(c.PerSecond), c.PerSecond.Median(), c.OneByOne.Median(), c.PerSecond.Over(c.OneByOne).Median())
		least = min(least, c.PerSecond.Median())
	}
	idle := report.Table{Title: fmt.Sprintf("An idle Trigger of %d", r.Alone.Triggers), Columns: []string{"where", "bytes each", "goroutines in all"}}
	idle.Add("filter, reader and position by themselves", r.Alone.Bytes, r.Alone.Goroutines)
	if r.Process != 0 {
		idle.Add("in the broker's process: with its part of the API's cache, and with garbage that is not collected yet", r.Process, "")
	}
	s.Tables = append(s.Tables, checks, idle)
	s.Targets = append(s.Targets,
		report.NewTargetAtLeast(fmt.Sprintf("filter checks on one core, %d Triggers, the slowest kind", r.Alone.Triggers), least, leastChecks, "/s"),
		report.NewTarget("an idle Trigger", r.Alone.Bytes, mostIdleBytes, "bytes"))
}
