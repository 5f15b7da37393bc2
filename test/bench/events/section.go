package events

import (
	"fmt"

	"ebb.dev/ebb/test/bench/report"
)

// What should be reached.
const (
	leastAccepts  = 0.8
	mostDelivery  = 2
	mostWake      = 100
	leastChecks   = 100_000
	mostIdleBytes = 20 << 10
)

// Section shows what was measured.
func Section(name, node string, r Result) report.Section {
	s := report.Section{
		Name: name, Title: "Events on " + node,
		About: fmt.Sprintf("Events of %d bytes. “Durable” answers 202 when the disk has the event, “relaxed” (`ebb up --events relaxed`) before. ", eventBytes) +
			"Accepted: as fast as each client is answered, over HTTP through the gateway; a Broker without Triggers, a handler that stores nothing behind the same gateway, and plain publishes " +
			"to an embedded JetStream of the same sync mode and disk, its clients in its own process and without HTTP. Delivered: from a client's sending to the subscriber's receipt, both by one clock, " +
			fmt.Sprintf("%d events/s to a Knative Service that is up. Ratios are medians over rounds, each within its round.", rate),
		Data: r,
	}
	r.accepts(&s)
	r.deliveries(&s)
	r.wakes(&s)
	r.costs(&s)
	if len(r.Missing) > 0 {
		t := report.Table{Title: "Not measured", Columns: []string{"part", "why"}}
		for _, m := range r.Missing {
			t.Add(m.Part, m.Why)
		}
		s.Tables = append(s.Tables, t)
	}
	return s
}

// several is a number of things.
func several(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
