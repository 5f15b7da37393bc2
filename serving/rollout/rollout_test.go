package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Unix(1_800_000_000, 0)

func one(name string, percent int, revisions ...Revision) Rollout {
	return Rollout{Configurations: []Configuration{{Name: name, Percent: percent, Revisions: revisions}}}
}

func TestStep(t *testing.T) {
	for _, c := range []struct {
		name         string
		goal, before Rollout
		want         []Revision
	}{
		{"nothing before", one("a", 100, Revision{"a1", 100}), Rollout{}, []Revision{{"a1", 100}}},
		{"the same", one("a", 100, Revision{"a1", 100}), one("a", 100, Revision{"a1", 100}), []Revision{{"a1", 100}}},
		{"a new revision", one("a", 100, Revision{"a2", 100}), one("a", 100, Revision{"a1", 100}), []Revision{{"a1", 99}, {"a2", 1}}},
		{"of a share", one("a", 40, Revision{"a2", 40}), one("a", 40, Revision{"a1", 40}), []Revision{{"a1", 39}, {"a2", 1}}},
		{"of one percent", one("a", 1, Revision{"a2", 1}), one("a", 1, Revision{"a1", 1}), []Revision{{"a2", 1}}},
		{"another on top", one("a", 100, Revision{"a3", 100}), one("a", 100, Revision{"a1", 60}, Revision{"a2", 40}),
			[]Revision{{"a1", 60}, {"a2", 39}, {"a3", 1}}},
		{"another on top of one percent", one("a", 100, Revision{"a3", 100}), one("a", 100, Revision{"a1", 99}, Revision{"a2", 1}),
			[]Revision{{"a1", 99}, {"a3", 1}}},
		{"back to the one before", one("a", 100, Revision{"a1", 100}), one("a", 100, Revision{"a1", 60}, Revision{"a2", 40}),
			[]Revision{{"a2", 40}, {"a1", 60}}},
		{"more of the route", one("a", 70, Revision{"a2", 70}), one("a", 50, Revision{"a1", 40}, Revision{"a2", 10}),
			[]Revision{{"a1", 40}, {"a2", 30}}},
		{"less of the route", one("a", 30, Revision{"a2", 30}), one("a", 50, Revision{"a1", 40}, Revision{"a2", 10}),
			[]Revision{{"a1", 20}, {"a2", 10}}},
		{"so much less that the old one is out", one("a", 8, Revision{"a2", 8}), one("a", 50, Revision{"a1", 40}, Revision{"a2", 10}),
			[]Revision{{"a2", 8}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := Step(c.goal, c.before, noon)
			if diff := cmp.Diff(c.want, got.Configurations[0].Revisions); diff != "" {
				t.Errorf("shares (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheFirstPercentSaysHowFastTheRestGoes(t *testing.T) {
	for _, c := range []struct {
		name              string
		percent           int
		arrived, duration time.Duration
		size              int
		step              time.Duration
	}{
		{"within a second", 100, 300 * time.Millisecond, 100 * time.Second, 1, time.Second},
		{"slowly", 100, 25 * time.Second, 100 * time.Second, 33, 25 * time.Second},
		{"longer than the whole", 100, 200 * time.Second, 100 * time.Second, 99, time.Second},
		{"a share", 21, 200 * time.Millisecond, 11 * time.Second, 2, time.Second},
		{"hours", 100, time.Second, 100 * time.Hour, 1, 3636353535353},
	} {
		t.Run(c.name, func(t *testing.T) {
			begun, next := Step(one("a", c.percent, Revision{"a2", c.percent}), one("a", c.percent, Revision{"a1", c.percent}), noon)
			if !next.IsZero() {
				t.Errorf("a step is due at %v although the first percent has not arrived", next)
			}
			arrived := noon.Add(c.arrived)
			steps := begun.Observe(arrived, c.duration).Configurations[0].Steps
			if steps.Size != c.size || time.Duration(steps.Duration) != c.step || steps.Next != arrived.Add(c.step).UnixNano() {
				t.Errorf("%+v", steps)
			}
		})
	}
}

func TestStepsAreTakenWhenTheyAreDue(t *testing.T) {
	goal := one("a", 100, Revision{"a2", 100})
	state, _ := Step(goal, one("a", 100, Revision{"a1", 100}), noon)
	state = state.Observe(noon.Add(100*time.Millisecond), 4*time.Second)
	var shares []int
	now := noon.Add(100 * time.Millisecond)
	for range 10 {
		early, next := Step(goal, state, now)
		if !next.IsZero() {
			if diff := cmp.Diff(state, early); diff != "" {
				t.Fatalf("a step before its time (-want +got):\n%s", diff)
			}
			now = next
		}
		state, _ = Step(goal, state, now)
		revisions := state.Configurations[0].Revisions
		shares = append(shares, revisions[len(revisions)-1].Percent)
		if state.Done() {
			break
		}
	}
	if diff := cmp.Diff([]int{34, 67, 100}, shares); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
	if state.Configurations[0].Steps != (Steps{}) {
		t.Errorf("a rollout that is done keeps its steps: %+v", state)
	}
}

func TestARevisionThatIsGoneLeavesItsShareToTheNewest(t *testing.T) {
	got := one("a", 100, Revision{"a1", 50}, Revision{"a2", 30}, Revision{"a3", 20}).Without(func(r string) bool { return r == "a2" })
	if diff := cmp.Diff([]Revision{{"a1", 50}, {"a3", 50}}, got.Configurations[0].Revisions); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
}

// The annotation is Knative's, field by field.
func TestKnativesAnnotationIsRead(t *testing.T) {
	annotation := `{"configurations":[{"configurationName":"a","tag":"t","percent":100,"revisions":[{"revisionName":"a1","percent":99},` +
		`{"revisionName":"a2","percent":1}],"stepParams":{"starttime":1,"nextStepTime":3,"stepDuration":2,"stepSize":5}}]}`
	got, err := Parse(annotation)
	want := Rollout{Configurations: []Configuration{{
		Name: "a", Tag: "t", Percent: 100, Revisions: []Revision{{"a1", 99}, {"a2", 1}}, Steps: Steps{Start: 1, Next: 3, Duration: 2, Size: 5},
	}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got.String() != annotation {
		t.Errorf("written as %s", got)
	}
	for _, bad := range []string{
		`{`, `{"configurations":[{"percent":101}]}`, `{"configurations":[{"percent":50,"revisions":[{"percent":49}]}]}`,
		`{"configurations":[{"percent":10,"revisions":[{"percent":10}],"stepParams":{"stepSize":11}}]}`,
		`{"configurations":[{"percent":0,"revisions":[{"percent":10},{"percent":-10}]}]}`,
	} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

// Whatever somebody writes into the annotation, the shares that come of it make up the whole, and the rollout ends.
func FuzzEveryAnnotationLeadsToTheGoal(f *testing.F) {
	for _, seed := range []string{
		"", `{}`, one("a", 100, Revision{"a1", 100}).String(), one("a", 100, Revision{"a1", 60}, Revision{"a2", 40}).String(),
		`{"configurations":[{"configurationName":"a","percent":2,"revisions":[{"revisionName":"a1","percent":2},{"revisionName":"a2","percent":0}],"stepParams":{"starttime":1}}]}`,
		`{"configurations":[{"configurationName":"a","percent":100,"revisions":[{"revisionName":"a1","percent":99},{"revisionName":"a2","percent":1}],"stepParams":{"starttime":1,"nextStepTime":3,"stepDuration":2,"stepSize":5}}]}`,
	} {
		f.Add(seed, uint8(100))
	}
	f.Fuzz(func(t *testing.T, annotation string, percent uint8) {
		state, err := Parse(annotation)
		if err != nil {
			return
		}
		share := int(percent) % 101
		goal := one("a", share, Revision{"a2", share})
		now := noon
		for range 300 {
			var next time.Time
			state, next = Step(goal, state.Observe(now, 10*time.Second), now)
			total := 0
			for _, r := range state.Configurations[0].Revisions {
				total += r.Percent
			}
			if total != share {
				t.Fatalf("the shares add up to %d, not %d: %s", total, share, state)
			}
			if _, err := Parse(state.String()); err != nil {
				t.Fatalf("what is written cannot be read: %v: %s", err, state)
			}
			if state.Done() {
				return
			}
			now = now.Add(time.Second)
			if next.After(now) {
				now = next
			}
		}
		t.Fatalf("the rollout does not end: %s", state)
	})
}
