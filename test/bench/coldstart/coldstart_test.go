package coldstart

import (
	"math"
	"slices"
	"strings"
	"testing"

	"ebb.dev/ebb/test/bench/memory"
)

// start is answered 100 ms after the request, of a bare start of 80.
func start(services int, first bool) Start {
	return Start{
		Services: services, First: first, Answered: 100, Arrived: 1, AppListening: 80, Created: 5, Listening: 80,
		Phases: map[string]float64{
			"decided": 1, "scaled": 4, "created": 8, "addressed": 60, "started": 70, "programmed": 65, "answering": 90,
			"ready": 90, "pushed": 90, "acked": 95, "released": 95,
		},
	}
}

func TestPhasesAddUpToTheWhole(t *testing.T) {
	sum := 0.0
	for _, d := range start(10, true).durations() {
		sum += d
	}
	if math.Abs(sum-100) > 1e-9 {
		t.Errorf("they add up to %v", sum)
	}
}

func TestAPhaseThatIsMissingIsPartOfTheNext(t *testing.T) {
	s := start(10, true)
	delete(s.Phases, "started")
	sum := 0.0
	for _, d := range s.durations() {
		sum += d
	}
	if math.Abs(sum-100) > 1e-9 {
		t.Errorf("they add up to %v", sum)
	}
}

func TestTheSectionComparesWithTheBareStart(t *testing.T) {
	var starts []Start
	for _, scale := range []int{10, 100} {
		for i := range 4 {
			starts = append(starts, start(scale, i == 0))
		}
	}
	rests := []Rest{{Services: 10, Parts: []memory.Part{{Name: "kubernetes", PSS: 300, CPU: 4}}}}
	s := Section("coldstart-light", "the light node", starts, rests)
	if len(s.Targets) != 4 || s.Targets[0].Got != 20 || !s.Targets[0].Met || s.Targets[2].Got != 1 || s.Targets[3].Got != 1 {
		t.Errorf("%+v", s.Targets)
	}
	if got := len(s.Tables[0].Rows); got != 5 {
		t.Errorf("%d groups", got)
	}
	for _, phases := range s.Tables[1:3] {
		if got := phases.Columns; !slices.Contains(got, "p50 with 10") || !slices.Contains(got, "p50 with 100") {
			t.Errorf("%s: columns %v do not tell few services from many", phases.Title, got)
		}
		for _, row := range phases.Rows {
			if len(row) != len(phases.Columns) {
				t.Errorf("%s: %v for %v", phases.Title, row, phases.Columns)
			}
		}
	}
	if !strings.Contains(s.About, "the bare start, at the median, took 1.00 times as long") {
		t.Error("how the bare start grew is not said:", s.About)
	}
	if got := s.Tables[3].Rows; len(got) != 1 {
		t.Errorf("at rest: %v", got)
	}
	if s := Section("x", "y", nil, nil); s.Missing == "" {
		t.Error("nothing was measured, and it does not say so")
	}
}
