package events

import (
	"fmt"
	"math"
	"slices"

	"ebb.dev/ebb/test/bench/report"
	"ebb.dev/ebb/test/bench/stats"
)

func (r Result) deliveries(s *report.Section) {
	plot := report.Plot{Title: "From sending to receipt", Unit: "ms, up to the 99th percentile"}
	for _, p := range []struct{ part, title string }{{inJetStream, "Delivered, milliseconds"}, {inKafka, "Delivered by Brokers of class Kafka, milliseconds"}} {
		t := report.Table{Title: p.title, Columns: []string{"mode", "who", "Triggers", "n", "p50", "p99", "p50 against straight", "p50 less straight", "refused"}}
		for _, mode := range []string{durable, relaxed} {
			for _, of := range r.deliverySubjects(p.part, mode) {
				all := r.deliveryRow(s, &t, of)
				if p.part == inJetStream {
					plot.Series = append(plot.Series, report.Series{Name: mode + ", " + brief(of), Samples: curve(all)})
				}
			}
		}
		if len(t.Rows) == 0 {
			continue
		}
		if p.part == inJetStream && len(r.Syncs) > 0 {
			t.Add(durable, "one synced write", "", len(r.Syncs), r.Syncs.Median(), r.Syncs.Quantile(0.99), math.NaN(), math.NaN(), "")
		}
		s.Tables = append(s.Tables, t)
	}
	if len(plot.Series) > 0 {
		s.Plots = append(s.Plots, plot)
	}
}

// deliveryRow adds what became of one subject, of whose deliveries one is given.
func (r Result) deliveryRow(s *report.Section, t *report.Table, of Delivery) stats.Samples {
	rounds, direct := r.deliveriesOf(of), r.deliveriesOf(Delivery{Part: of.Part, Mode: of.Mode, Subject: straight})
	all, refused := took(rounds)
	over, less := stats.Samples(nil), stats.Samples(nil)
	if of.Subject != straight {
		over, less = medians(rounds).Over(medians(direct)), medians(rounds).Minus(medians(direct))
	}
	t.Add(of.Mode, of.Subject, of.Triggers, len(all), all.Median(), all.Quantile(0.99), over.Median(), less.Median(), refused)
	if of.Subject == broker && of.Part == inJetStream {
		most, what := float64(mostDelivery), fmt.Sprintf("p50 of a delivery, %s, %s", of.Mode, several(of.Triggers, "Trigger"))
		if of.Mode == durable {
			most, what = most+r.Syncs.Median(), what+fmt.Sprintf(" (%d ms and a sync)", mostDelivery)
		}
		s.Targets = append(s.Targets, report.NewTarget(what, all.Median(), most, "ms"))
	}
	return all
}

func brief(d Delivery) string {
	if d.Subject == straight {
		return "straight"
	}
	return several(d.Triggers, "Trigger")
}

// deliverySubjects has one delivery of each subject, fewest Triggers first.
func (r Result) deliverySubjects(part, mode string) []Delivery {
	var out []Delivery
	for _, d := range r.Deliveries {
		if d.Part == part && d.Mode == mode && !slices.ContainsFunc(out, d.alike) {
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(a, b Delivery) int { return a.Triggers - b.Triggers })
	return out
}

// alike reports whether both are of one subject.
func (d Delivery) alike(o Delivery) bool {
	return d.Part == o.Part && d.Mode == o.Mode && d.Subject == o.Subject && d.Triggers == o.Triggers
}

func (r Result) deliveriesOf(subject Delivery) []Delivery {
	var out []Delivery
	for _, d := range r.Deliveries {
		if d.alike(subject) {
			out = append(out, d)
		}
	}
	return out
}

func took(rounds []Delivery) (all stats.Samples, refused uint64) {
	for _, d := range rounds {
		all = append(all, d.Took...)
		refused += d.Errors
	}
	return all, refused
}

func medians(rounds []Delivery) stats.Samples {
	var out stats.Samples
	for _, d := range rounds {
		out = append(out, d.Took.Median())
	}
	return out
}

// curve is a distribution as a plot can show it.
func curve(s stats.Samples) stats.Samples {
	var out stats.Samples
	for percent := 1; percent < 100; percent++ {
		out = append(out, s.Quantile(float64(percent)/100))
	}
	return out
}
