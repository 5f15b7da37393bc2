package conditions

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	network Type = "Network"
	traffic Type = "Traffic"
	active  Type = "Active"
)

var (
	set  = Living(network, traffic)
	noon = metav1.NewTime(time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC))
)

func later(seconds int) metav1.Time {
	return metav1.NewTime(noon.Add(time.Duration(seconds) * time.Second))
}

// ready returns the Ready condition without its time.
func ready(s *Status) Condition {
	c := s.GetCondition(Ready)
	if c == nil {
		return Condition{}
	}
	c.LastTransitionTime = metav1.Time{}
	return *c
}

func TestReadyFollowsItsDependents(t *testing.T) {
	unknown := Condition{Type: Ready, Status: corev1.ConditionUnknown}
	for _, c := range []struct {
		name string
		mark func(Manager)
		want Condition
	}{
		{"at first", func(m Manager) {}, unknown},
		{"one of two", func(m Manager) { m.MarkTrue(network) }, unknown},
		{"both", func(m Manager) { m.MarkTrue(network); m.MarkTrue(traffic) }, Condition{Type: Ready, Status: corev1.ConditionTrue}},
		{"one fails", func(m Manager) { m.MarkTrue(network); m.MarkFalse(traffic, "Lost", "no way") },
			Condition{Type: Ready, Status: corev1.ConditionFalse, Reason: "Lost", Message: "no way"}},
		{"a failure beats what is unknown", func(m Manager) { m.MarkFalse(network, "Lost", ""); m.MarkUnknown(traffic, "Waiting", "") },
			Condition{Type: Ready, Status: corev1.ConditionFalse, Reason: "Lost"}},
		{"a reason beats none", func(m Manager) { m.MarkUnknown(network, "Waiting", "for it") },
			Condition{Type: Ready, Status: corev1.ConditionUnknown, Reason: "Waiting", Message: "for it"}},
		{"of two failures at once the later declared", func(m Manager) { m.MarkFalse(traffic, "B", ""); m.MarkFalse(network, "A", "") },
			Condition{Type: Ready, Status: corev1.ConditionFalse, Reason: "B"}},
		{"what does not decide does not decide", func(m Manager) { m.MarkTrue(network); m.MarkTrue(traffic); m.MarkFalse(active, "NoTraffic", "") },
			Condition{Type: Ready, Status: corev1.ConditionTrue}},
		{"True cannot be had past a failure", func(m Manager) { m.MarkFalse(network, "Lost", ""); m.MarkTrue(Ready) },
			Condition{Type: Ready, Status: corev1.ConditionFalse, Reason: "Lost"}},
		{"the whole may be in doubt by itself", func(m Manager) { m.MarkTrue(network); m.MarkTrue(traffic); m.MarkUnknown(Ready, "Checking", "") },
			Condition{Type: Ready, Status: corev1.ConditionUnknown, Reason: "Checking"}},
		{"recovery", func(m Manager) { m.MarkFalse(network, "Lost", ""); m.MarkTrue(network); m.MarkTrue(traffic) },
			Condition{Type: Ready, Status: corev1.ConditionTrue}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var status Status
			m := set.Manage(&status, noon)
			m.Initialize()
			c.mark(m)
			if diff := cmp.Diff(c.want, ready(&status)); diff != "" {
				t.Errorf("Ready (-want +got):\n%s", diff)
			}
			if m.IsHappy() != (c.want.Status == corev1.ConditionTrue) {
				t.Error("IsHappy does not agree")
			}
		})
	}
}

func TestTheLatestFailureIsTold(t *testing.T) {
	var status Status
	set.Manage(&status, noon).MarkFalse(traffic, "Old", "")
	set.Manage(&status, later(5)).MarkFalse(network, "New", "")
	if got := ready(&status).Reason; got != "New" {
		t.Errorf("Ready says %q", got)
	}
}

func TestAnUnchangedConditionKeepsItsTime(t *testing.T) {
	var status Status
	mark := func(now metav1.Time) {
		m := set.Manage(&status, now)
		m.Initialize()
		m.MarkTrue(network)
		m.MarkUnknown(traffic, "Waiting", "for it")
	}
	mark(noon)
	first := status.DeepCopy()
	mark(later(60))
	if diff := cmp.Diff(first, &status); diff != "" {
		t.Errorf("marked again (-first +second):\n%s", diff)
	}
}

func TestPassingThroughAnotherStateIsNoTransition(t *testing.T) {
	var status Status
	mark := func(now metav1.Time) {
		m := set.Manage(&status, now)
		m.MarkTrue(network)
		m.MarkTrue(traffic)
		m.MarkUnknown(traffic, "NotMigrated", "")
	}
	mark(noon)
	before := status.DeepCopy()
	mark(later(60))
	status.KeepTransitionTimes(before)
	if diff := cmp.Diff(before, &status); diff != "" {
		t.Errorf("marked again (-first +second):\n%s", diff)
	}
}

func TestTimesAreThoseThatAreStored(t *testing.T) {
	var status Status
	set.Manage(&status, metav1.NewTime(noon.Add(123*time.Millisecond))).MarkTrue(network)
	if got := status.GetCondition(network).LastTransitionTime; !got.Equal(&noon) {
		t.Errorf("time %v, want %v: the API cuts it, and a later comparison would see a change", got, noon)
	}
}

func TestConditionsAreSortedAndComplete(t *testing.T) {
	status := Status{Conditions: []Condition{{Type: "Zebra", Status: corev1.ConditionTrue}, {Type: network, Status: corev1.ConditionTrue}}}
	m := set.Manage(&status, noon)
	m.Initialize()
	m.MarkFalse(active, "NoTraffic", "")
	var types []Type
	for _, c := range status.Conditions {
		types = append(types, c.Type)
	}
	if diff := cmp.Diff([]Type{active, network, Ready, traffic, "Zebra"}, types); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	if got := status.GetCondition(active).Severity; got != SeverityInfo {
		t.Errorf("severity of what does not decide: %q", got)
	}
	m.Clear(active)
	m.Clear(network)
	if status.GetCondition(active) != nil || status.GetCondition(network) == nil {
		t.Error("only what does not decide can be cleared")
	}
}

func TestTheDependentsOfAHappyResourceAreHappy(t *testing.T) {
	status := Status{Conditions: []Condition{{Type: Ready, Status: corev1.ConditionTrue}}}
	set.Manage(&status, noon).Initialize()
	if !status.GetCondition(network).IsTrue() {
		t.Error("a dependent that came with a later version makes a ready resource look unready")
	}
}

func TestCopyTakesOverWhatAChildSays(t *testing.T) {
	for _, c := range []struct {
		child *Condition
		want  Condition
	}{
		{nil, Condition{}},
		{&Condition{Status: corev1.ConditionTrue, Reason: "Fine"}, Condition{Type: network, Status: corev1.ConditionTrue}},
		{&Condition{Status: corev1.ConditionFalse, Reason: "Lost", Message: "50%"}, Condition{Type: network, Status: corev1.ConditionFalse, Reason: "Lost", Message: "50%"}},
	} {
		var status Status
		set.Manage(&status, metav1.Time{}).Copy(network, c.child)
		got := Condition{}
		if found := status.GetCondition(network); found != nil {
			got = *found
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("copy of %v (-want +got):\n%s", c.child, diff)
		}
	}
}

func TestAnAbsentConditionIsUnknown(t *testing.T) {
	var c *Condition
	if c.IsTrue() || c.IsFalse() || !c.IsUnknown() {
		t.Error("nil must read as Unknown")
	}
}
