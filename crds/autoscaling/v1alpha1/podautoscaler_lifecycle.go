package v1alpha1

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/crds/conditions"
)

const (
	// PodAutoscalerConditionReady is True when all of the others are.
	PodAutoscalerConditionReady = conditions.Ready
	// PodAutoscalerConditionActive says whether the scale target receives traffic: Unknown while it activates.
	PodAutoscalerConditionActive conditions.Type = "Active"
	// PodAutoscalerConditionScaleTargetInitialized is True once the scale target was ready to serve for the first time.
	PodAutoscalerConditionScaleTargetInitialized conditions.Type = "ScaleTargetInitialized"
	// PodAutoscalerConditionSKSReady says whether requests for the scale target have somewhere to go. There is no ServerlessService
	// behind it in Ebb; the condition stays because people and suites look for it.
	PodAutoscalerConditionSKSReady conditions.Type = "SKSReady"
)

var podAutoscalerConditions = conditions.Living(PodAutoscalerConditionActive, PodAutoscalerConditionScaleTargetInitialized, PodAutoscalerConditionSKSReady)

// Reasons and messages of the Active condition.
const (
	ReasonQueued       = "Queued"
	MessageQueued      = "Requests to the target are being buffered as resources are provisioned."
	ReasonNoTraffic    = "NoTraffic"
	MessageNoTraffic   = "The target is not receiving traffic."
	ReasonTimedOut     = "TimedOut"
	MessageTimedOut    = "The target could not be activated."
	ReasonNotOwned     = "NotOwned"
	ReasonFailedCreate = "FailedCreate"
)

// Mark returns the marks for this status, all with the time now.
func (s *PodAutoscalerStatus) Mark(now metav1.Time) PodAutoscalerMarks {
	return PodAutoscalerMarks{podAutoscalerConditions.Manage(&s.Status, now)}
}

// PodAutoscalerMarks states the conditions of a PodAutoscaler.
type PodAutoscalerMarks struct{ conditions.Manager }

// Active notes that the scale target serves requests.
func (m PodAutoscalerMarks) Active() { m.MarkTrue(PodAutoscalerConditionActive) }

// Activating notes that the scale target is on its way to serve.
func (m PodAutoscalerMarks) Activating(reason, message string) {
	m.MarkUnknown(PodAutoscalerConditionActive, reason, message)
}

// Inactive notes that the scale target serves nothing.
func (m PodAutoscalerMarks) Inactive(reason, message string) {
	m.MarkFalse(PodAutoscalerConditionActive, reason, message)
}

// ScaleTargetInitialized notes that the scale target was ready once.
func (m PodAutoscalerMarks) ScaleTargetInitialized() {
	m.MarkTrue(PodAutoscalerConditionScaleTargetInitialized)
}

// SKSReady notes that requests for the scale target have somewhere to go.
func (m PodAutoscalerMarks) SKSReady() { m.MarkTrue(PodAutoscalerConditionSKSReady) }

// SKSNotReady notes that they have nowhere to go yet.
func (m PodAutoscalerMarks) SKSNotReady(message string) {
	m.MarkUnknown(PodAutoscalerConditionSKSReady, "NotReady", message)
}

// ResourceNotOwned notes that an object of that kind and name exists and belongs to someone else.
func (m PodAutoscalerMarks) ResourceNotOwned(kind, name string) {
	m.Inactive(ReasonNotOwned, fmt.Sprintf("There is an existing %s %q that we do not own.", kind, name))
}

// ResourceFailedCreation notes that an object of that kind and name could not be made.
func (m PodAutoscalerMarks) ResourceFailedCreation(kind, name string) {
	m.Inactive(ReasonFailedCreate, fmt.Sprintf("Failed to create %s %q.", kind, name))
}

// IsReady reports whether the PodAutoscaler is Ready for the generation that is there now.
func (pa *PodAutoscaler) IsReady() bool {
	return pa.Generation == pa.Status.ObservedGeneration && pa.Status.GetCondition(PodAutoscalerConditionReady).IsTrue()
}

// IsActive reports whether the scale target receives traffic.
func (s *PodAutoscalerStatus) IsActive() bool {
	return s.GetCondition(PodAutoscalerConditionActive).IsTrue()
}

// IsInactive reports whether the scale target receives no traffic.
func (s *PodAutoscalerStatus) IsInactive() bool {
	return s.GetCondition(PodAutoscalerConditionActive).IsFalse()
}

// IsActivating reports whether the scale target is neither active nor inactive.
func (s *PodAutoscalerStatus) IsActivating() bool {
	return s.GetCondition(PodAutoscalerConditionActive).IsUnknown()
}

// IsScaleTargetInitialized reports whether the scale target was ready once.
func (s *PodAutoscalerStatus) IsScaleTargetInitialized() bool {
	return s.GetCondition(PodAutoscalerConditionScaleTargetInitialized).IsTrue()
}

// ActiveSince returns when the Active condition last changed; the zero time if it was never set.
func (s *PodAutoscalerStatus) ActiveSince() time.Time {
	if c := s.GetCondition(PodAutoscalerConditionActive); c != nil {
		return c.LastTransitionTime.Time
	}
	return time.Time{}
}

// Class returns the autoscaler that is responsible.
func (pa *PodAutoscaler) Class() string {
	if _, class, found := autoscaling.ClassKey.Get(pa.Annotations); found {
		return class
	}
	return autoscaling.KPA
}

// Reachable reports whether requests can reach the scale target, as far as is known.
func (pa *PodAutoscaler) Reachable() bool { return pa.Spec.Reachability != ReachabilityUnreachable }

// SetDefaults fills in what the writer left out: the class from config-autoscaler, and the class' metric.
func (pa *PodAutoscaler) SetDefaults(config *autoscaling.Config) {
	if pa.Annotations == nil {
		pa.Annotations = map[string]string{}
	}
	if _, _, found := autoscaling.ClassKey.Get(pa.Annotations); !found {
		pa.Annotations[autoscaling.ClassKey.Name()] = config.Class
	}
	if _, _, found := autoscaling.MetricKey.Get(pa.Annotations); !found {
		pa.Annotations[autoscaling.MetricKey.Name()] = autoscaling.DefaultMetric(pa.Class())
	}
}
