package events

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/test/bench/report"
)

func targetOf(s report.Section, begins string) (report.Target, bool) {
	i := slices.IndexFunc(s.Targets, func(t report.Target) bool { return strings.HasPrefix(t.What, begins) })
	if i < 0 {
		return report.Target{}, false
	}
	return s.Targets[i], true
}

func TestDurableAcceptsAreHeldAgainstJetStreamAndRelaxedOnesAgainstTheGateway(t *testing.T) {
	var r Result
	for round, factor := range []float64{1, 10, 3} {
		for _, a := range []Accept{
			{Mode: durable, Subject: broker, PerSecond: 900}, {Mode: durable, Subject: raw, PerSecond: 1000}, {Mode: durable, Subject: nothing, PerSecond: 9000},
			{Mode: relaxed, Subject: broker, PerSecond: 700}, {Mode: relaxed, Subject: raw, PerSecond: 700}, {Mode: relaxed, Subject: nothing, PerSecond: 1000, Errors: 1},
		} {
			a.Part, a.Clients, a.Round = inJetStream, 1, round
			a.PerSecond *= factor
			r.Accepts = append(r.Accepts, a)
		}
	}
	s := Section("events-light", "the light node", r)
	if got, ok := targetOf(s, "accepts, durable, 1 client, against raw JetStream"); !ok || got.Got != 0.9 || !got.Met {
		t.Errorf("%t %+v", ok, got)
	}
	if got, ok := targetOf(s, "accepts, relaxed, 1 client, against a handler that stores nothing"); !ok || got.Got != 0.7 || got.Met {
		t.Errorf("%t %+v", ok, got)
	}
	if got, ok := targetOf(s, "errors, events, relaxed"); !ok || !got.Met {
		t.Errorf("a peer's errors are held against Ebb: %t %+v", ok, got)
	}
}

func TestADurableDeliveryMayTakeASyncLonger(t *testing.T) {
	r := Result{Syncs: []float64{1}}
	for _, mode := range []string{durable, relaxed} {
		r.Deliveries = append(r.Deliveries,
			Delivery{Part: inJetStream, Mode: mode, Subject: straight, Took: []float64{1, 1, 1}},
			Delivery{Part: inJetStream, Mode: mode, Subject: broker, Triggers: 1, Took: []float64{2.5, 2.5, 40}})
	}
	s := Section("events-light", "the light node", r)
	slow, _ := targetOf(s, "p50 of a delivery, relaxed")
	fast, _ := targetOf(s, "p50 of a delivery, durable")
	if slow.Met || slow.Limit != 2 || !fast.Met || fast.Limit != 3 {
		t.Errorf("relaxed %+v, durable %+v", slow, fast)
	}
}

func TestWhatWasNotMeasuredIsSaid(t *testing.T) {
	s := Section("events-light", "the light node", Result{Missing: []Missing{{"class Kafka", "java is not installed"}}})
	last := s.Tables[len(s.Tables)-1]
	if last.Title != "Not measured" || last.Rows[0][1] != "java is not installed" {
		t.Errorf("%+v", last)
	}
}

func TestFiltersAndTriggersAreMeasuredByThemselves(t *testing.T) {
	a, err := MeasureAlone(t.Context(), AloneOptions{Triggers: 20, Rounds: 1, Each: time.Millisecond, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if a.Bytes <= 0 || a.Goroutines == 0 || len(a.Checks) != len(kinds) {
		t.Errorf("%+v", a)
	}
	for _, c := range a.Checks {
		if c.PerSecond.Median() <= 0 || c.OneByOne.Median() <= 0 {
			t.Errorf("%+v", c)
		}
	}
}

func TestADrainIsHeldAgainstThePlainConsumerOfItsRound(t *testing.T) {
	var r Backlogs
	for round, factor := range []float64{1, 3, 2} {
		r.Drains = append(r.Drains,
			Drain{Way: "a way", Subject: broker, Round: round, Records: 100, Received: 101, Took: 1.1 * factor},
			Drain{Way: "a way", Subject: plain, Round: round, Records: 100, Received: 100, Took: factor})
	}
	s := BacklogSection("backlog-light", "the light node", r)
	if got, ok := targetOf(s, "100 records drained, a way"); !ok || !got.Met || got.Limit != mostDrain || got.Got < 1.09 || got.Got > 1.11 {
		t.Errorf("%t %+v", ok, got)
	}
	if rows := s.Tables[0].Rows; len(rows) != 2 || rows[0][9] != "3" || rows[1][9] != "0" {
		t.Errorf("%v", rows)
	}
}

func TestABacklogThatWasNotMeasuredSaysWhy(t *testing.T) {
	if s := BacklogSection("backlog-light", "the light node", Backlogs{Missing: "java is not installed"}); s.Missing == "" || len(s.Tables) != 0 {
		t.Errorf("%+v", s)
	}
}
