package events

import (
	"fmt"
	"slices"

	"ebb.dev/ebb/test/bench/peers"
	"ebb.dev/ebb/test/bench/report"
	"ebb.dev/ebb/test/bench/stats"
)

// mostDrain is how much longer than a plain consumer Ebb may take.
const mostDrain = 1.2

// BacklogSection shows how backlogs in Kafka were drained.
func BacklogSection(name, node string, r Backlogs) report.Section {
	s := report.Section{
		Name: name, Title: "A backlog in Kafka on " + node, Missing: r.Missing, Data: r,
		About: fmt.Sprintf("Records of %d bytes, written to the %d partitions of a topic before anybody reads it, go to a Knative Service that is at zero. ", eventBytes, peers.Partitions) +
			"Beside Ebb, in turns, a consumer that does nothing else: it posts each record through the same gateway to the same service, as many at once. Time is from when somebody " +
			"is told to begin until the app has the last one, its cold start included; then until the consumer group has no lag. Ratios are medians over rounds, each within its round.",
	}
	t := report.Table{
		Title:   "Drained",
		Columns: []string{"what", "who", "n", "records", "seconds", "records/s", "Ebb against it", "worst round", "no lag after, s", "twice"},
	}
	plot := report.Plot{Title: "Drained", Unit: "records/s"}
	for _, way := range r.ways() {
		ours := r.of(way, broker)
		for _, subject := range []string{broker, plain} {
			of := r.of(way, subject)
			if len(of) == 0 {
				continue
			}
			took := drainFigures(of, func(d Drain) float64 { return d.Took })
			rate := drainFigures(of, func(d Drain) float64 { return float64(d.Records) / d.Took })
			var ratio stats.Samples
			if subject != broker {
				ratio = drainFigures(ours, func(d Drain) float64 { return d.Took }).Over(took)
				s.Targets = append(s.Targets, report.NewTarget(fmt.Sprintf("%d records drained, %s, against %s", of[0].Records, way, subject), ratio.Median(), mostDrain, "×"))
			}
			twice := int64(0)
			for _, d := range of {
				twice += d.Received - int64(d.Records)
			}
			t.Add(way, subject, len(of), of[0].Records, took.Median(), rate.Median(), ratio.Median(), ratio.Max(),
				drainFigures(of, func(d Drain) float64 { return d.Committed }).Median(), twice)
			plot.Bars = append(plot.Bars, report.Bar{Name: way + ", " + subject, Parts: []report.Part{{Name: "records/s", Value: rate.Median()}}})
		}
	}
	if len(t.Rows) > 0 {
		s.Tables, s.Plots = append(s.Tables, t), append(s.Plots, plot)
	}
	return s
}

// ways are those that were measured, in order.
func (r Backlogs) ways() []string {
	var out []string
	for _, d := range r.Drains {
		if !slices.Contains(out, d.Way) {
			out = append(out, d.Way)
		}
	}
	return out
}

func (r Backlogs) of(way, subject string) []Drain {
	var out []Drain
	for _, d := range r.Drains {
		if d.Way == way && d.Subject == subject {
			out = append(out, d)
		}
	}
	return out
}

func drainFigures(of []Drain, f func(Drain) float64) stats.Samples {
	var out stats.Samples
	for _, d := range of {
		out = append(out, f(d))
	}
	return out
}
