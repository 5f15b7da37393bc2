package events

import (
	"fmt"
	"slices"

	"ebb.dev/ebb/test/bench/report"
	"ebb.dev/ebb/test/bench/stats"
)

// acceptPart is how one part's accepts are shown.
type acceptPart struct {
	part, title string
	// ours is what the others are compared with.
	ours string
	// bounds are the subjects that ours is held against, by mode.
	bounds map[string]string
}

// Where both sync, Ebb is held against JetStream itself; where the disk is not waited for, against the gateway.
var acceptParts = []acceptPart{
	{inJetStream, "Accepted", broker, map[string]string{durable: raw, relaxed: nothing}},
	{answeredLater, "Accepted to be answered later, while those before are answered", later, nil},
	{inKafka, "Accepted by Brokers of class Kafka, one server; Kafka acknowledges what it has in memory", ofKafka, nil},
}

func (r Result) accepts(s *report.Section) {
	plot := report.Plot{Title: "Accepted, with 32 clients", Unit: "events/s"}
	for _, p := range acceptParts {
		t := report.Table{Title: p.title, Columns: []string{"mode", "clients", "who", "n", "events/s", "p50 ms", "p99 ms", "Ebb against it", "worst round", "errors"}}
		for _, mode := range []string{durable, relaxed} {
			for _, clients := range clientCounts {
				r.acceptRows(s, &t, p, mode, clients)
			}
			for _, subject := range r.acceptSubjects(p.part, mode) {
				bar := mode + ", " + short[subject]
				if slices.ContainsFunc(plot.Bars, func(b report.Bar) bool { return b.Name == bar }) {
					continue
				}
				rate := perSecond(r.acceptsOf(p.part, mode, subject, clientCounts[len(clientCounts)-1])).Median()
				plot.Bars = append(plot.Bars, report.Bar{Name: bar, Parts: []report.Part{{Name: "events/s", Value: rate}}})
			}
		}
		if len(t.Rows) > 0 {
			s.Tables = append(s.Tables, t)
		}
	}
	if len(plot.Bars) > 0 {
		s.Plots = append(s.Plots, plot)
	}
}

// short are the names beside bars.
var short = map[string]string{
	broker: "Ebb", raw: "JetStream", nothing: "nothing stored", later: "Ebb, later", ofKafka: "Ebb, Kafka", rawKafka: "Kafka",
}

func (r Result) acceptRows(s *report.Section, t *report.Table, p acceptPart, mode string, clients int) {
	ours := r.acceptsOf(p.part, mode, p.ours, clients)
	for _, subject := range r.acceptSubjects(p.part, mode) {
		of := r.acceptsOf(p.part, mode, subject, clients)
		ratio := perSecond(ours).Over(perSecond(of))
		if subject == p.ours {
			ratio = nil
			s.Targets = append(s.Targets, report.NewTarget(fmt.Sprintf("errors, %s, %s, %s", p.part, mode, several(clients, "client")), errorsOf(of), 0, ""))
		}
		t.Add(mode, clients, subject, len(of), perSecond(of).Median(), acceptFigures(of, func(a Accept) float64 { return a.P50 }).Median(),
			acceptFigures(of, func(a Accept) float64 { return a.P99 }).Median(), ratio.Median(), ratio.Quantile(0), errorsOf(of))
		if subject == p.bounds[mode] {
			s.Targets = append(s.Targets, report.NewTargetAtLeast(fmt.Sprintf("accepts, %s, %s, against %s", mode, several(clients, "client"), subject), ratio.Median(), leastAccepts, "×"))
		}
	}
	if clients != 1 || p.part != inJetStream {
		return
	}
	// One client waits for one after the other: it cannot be faster than both together.
	both := oneAfterTheOther(perSecond(r.acceptsOf(p.part, mode, nothing, 1)), perSecond(r.acceptsOf(p.part, mode, raw, 1)))
	if len(both) > 0 {
		ratio := perSecond(ours).Over(both)
		t.Add(mode, clients, "those two, one after the other (reckoned)", len(both), both.Median(), "", "", ratio.Median(), ratio.Quantile(0), "")
	}
}

// oneAfterTheOther is how many a second go if each takes the time of both.
func oneAfterTheOther(a, b stats.Samples) stats.Samples {
	var out stats.Samples
	for i := range min(len(a), len(b)) {
		out = append(out, 1/(1/a[i]+1/b[i]))
	}
	return out
}

// acceptSubjects are those of a part and mode, in the order of their first turns.
func (r Result) acceptSubjects(part, mode string) []string {
	var out []string
	for _, a := range r.Accepts {
		if a.Part == part && a.Mode == mode && !slices.Contains(out, a.Subject) {
			out = append(out, a.Subject)
		}
	}
	return out
}

func (r Result) acceptsOf(part, mode, subject string, clients int) []Accept {
	var out []Accept
	for _, a := range r.Accepts {
		if a.Part == part && a.Mode == mode && a.Subject == subject && a.Clients == clients {
			out = append(out, a)
		}
	}
	return out
}

func acceptFigures(of []Accept, f func(Accept) float64) stats.Samples {
	var out stats.Samples
	for _, a := range of {
		out = append(out, f(a))
	}
	return out
}

func perSecond(of []Accept) stats.Samples {
	return acceptFigures(of, func(a Accept) float64 { return a.PerSecond })
}

func errorsOf(of []Accept) float64 {
	sum := uint64(0)
	for _, a := range of {
		sum += a.Errors
	}
	return float64(sum)
}
