package scale

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/crds/autoscaling/v1alpha1"
)

// What one engine reports is what the next one begins with.
func TestAStatusSurvivesARestartOfTheEngine(t *testing.T) {
	since := start.Add(-time.Minute)
	tests := []struct {
		name   string
		status Status
		reason string
		ready  string
	}{
		{"active", Status{Desired: 3, Actual: 2, Phase: decide.Active, PhaseSince: since, Initialized: true}, "", "True"},
		{"activating", Status{Desired: 1, Phase: decide.Activating, PhaseReason: decide.PhaseQueued, PhaseSince: since}, "Queued", "Unknown"},
		{"asleep", Status{Phase: decide.Inactive, PhaseReason: decide.PhaseNoTraffic, PhaseSince: since, Initialized: true}, "NoTraffic", "False"},
		{"given up", Status{Phase: decide.Inactive, PhaseReason: decide.PhaseTimedOut, PhaseSince: since, Initialized: true}, "TimedOut", "False"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pa := &v1alpha1.PodAutoscaler{Spec: v1alpha1.PodAutoscalerSpec{ContainerConcurrency: 10, Reachability: v1alpha1.ReachabilityReachable}}
			now := metav1.NewTime(start)
			pa.Status.Mark(now).Initialize()
			tt.status.ApplyTo(&pa.Status, now)
			if *pa.Status.DesiredScale != tt.status.Desired || *pa.Status.ActualScale != tt.status.Actual {
				t.Errorf("scales %d and %d", *pa.Status.DesiredScale, *pa.Status.ActualScale)
			}
			if c := pa.Status.GetCondition(v1alpha1.PodAutoscalerConditionActive); c.Reason != tt.reason {
				t.Errorf("reason %q, want %q", c.Reason, tt.reason)
			}
			if c := pa.Status.GetCondition(v1alpha1.PodAutoscalerConditionReady); string(c.Status) != tt.ready {
				t.Errorf("ready %s, want %s", c.Status, tt.ready)
			}
			want := Spec{ContainerConcurrency: 10, Reachable: true, Before: tt.status}
			if diff := cmp.Diff(want, SpecOf(pa)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestANewPodAutoscalerHasNoPhase(t *testing.T) {
	pa := &v1alpha1.PodAutoscaler{Spec: v1alpha1.PodAutoscalerSpec{Reachability: v1alpha1.ReachabilityUnreachable}}
	if diff := cmp.Diff(Spec{}, SpecOf(pa)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
