package scale

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/crds/autoscaling/v1alpha1"
)

// SpecOf is what the engine must know of a PodAutoscaler's revision.
func SpecOf(pa *v1alpha1.PodAutoscaler) Spec {
	return Spec{
		Annotations: pa.Annotations, ContainerConcurrency: pa.Spec.ContainerConcurrency, Reachable: pa.Reachable(), Before: statusOf(&pa.Status),
	}
}

// statusOf reads back what ApplyTo has stated; it has no phase if nothing was.
func statusOf(status *v1alpha1.PodAutoscalerStatus) Status {
	active := status.GetCondition(v1alpha1.PodAutoscalerConditionActive)
	if active == nil {
		return Status{}
	}
	s := Status{
		Desired: ptr.Deref(status.DesiredScale, decide.Unknown), Actual: ptr.Deref(status.ActualScale, 0),
		PhaseReason: active.Reason, PhaseSince: status.ActiveSince(), Initialized: status.IsScaleTargetInitialized(),
	}
	switch {
	case active.IsTrue():
		s.Phase = decide.Active
	case active.IsFalse():
		s.Phase = decide.Inactive
	default:
		s.Phase = decide.Activating
	}
	return s
}

// ApplyTo states the status on a PodAutoscaler: its counts and the conditions Active, ScaleTargetInitialized
// and SKSReady: with the hold at the gateways, requests always have somewhere to go.
func (s Status) ApplyTo(status *v1alpha1.PodAutoscalerStatus, now metav1.Time) {
	status.DesiredScale, status.ActualScale = &s.Desired, &s.Actual
	status.Mark(now).SKSReady()
	if s.Initialized {
		status.Mark(now).ScaleTargetInitialized()
	}
	marks := status.Mark(metav1.NewTime(s.PhaseSince))
	switch {
	case s.Phase == decide.Active:
		marks.Active()
	case s.Phase == decide.Activating:
		marks.Activating(v1alpha1.ReasonQueued, v1alpha1.MessageQueued)
	case s.PhaseReason == decide.PhaseTimedOut:
		marks.Inactive(v1alpha1.ReasonTimedOut, v1alpha1.MessageTimedOut)
	default:
		marks.Inactive(v1alpha1.ReasonNoTraffic, v1alpha1.MessageNoTraffic)
	}
}
