package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
)

// EventPolicy says who may send events to addressable resources (Brokers, Channels, sinks).
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,eventing}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
type EventPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec EventPolicySpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status EventPolicyStatus `json:"status,omitempty,omitzero"`
}

// EventPolicySpec is who may send what to whom.
type EventPolicySpec struct {
	// To lists all resources for which this policy applies, all in its namespace. An empty list means it applies to all resources of
	// the namespace.
	// +optional
	To []EventPolicySpecTo `json:"to,omitempty"`

	// From is the list of sources or OIDC identities which are allowed to send events to the targets.
	// +optional
	From []EventPolicySpecFrom `json:"from,omitempty"`

	// Filters is a list of filter expressions of the CloudEvents Subscriptions API that an event must all pass to be accepted.
	// +optional
	Filters []eventingv1.SubscriptionsAPIFilter `json:"filters,omitempty"`
}

// EventPolicySpecTo names targets: one, or several by a selector.
type EventPolicySpecTo struct {
	// Ref contains the direct reference to a target.
	// +optional
	Ref *EventPolicyToReference `json:"ref,omitempty"`

	// Selector contains a selector to group targets.
	// +optional
	Selector *EventPolicySelector `json:"selector,omitempty"`
}

// EventPolicySpecFrom names senders: a resource, or an identity.
type EventPolicySpecFrom struct {
	// Ref contains a direct reference to a resource which is allowed to send events to the target.
	// +optional
	Ref *EventPolicyFromReference `json:"ref,omitempty"`

	// Sub sets the OIDC identity name to be allowed to send events to the target. A trailing * matches any suffix.
	// +optional
	Sub *string `json:"sub,omitempty"`
}

// EventPolicyToReference names a target in the policy's namespace.
type EventPolicyToReference struct {
	// API version of the referent.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the referent.
	Kind string `json:"kind"`

	// Name of the referent.
	Name string `json:"name"`
}

// EventPolicyFromReference names a sender.
type EventPolicyFromReference struct {
	// API version of the referent.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the referent.
	Kind string `json:"kind"`

	// Name of the referent.
	Name string `json:"name"`

	// Namespace of the referent. It is that of the policy if left out.
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// EventPolicySelector selects targets of a kind by their labels.
type EventPolicySelector struct {
	metav1.LabelSelector `json:",inline"`
	metav1.TypeMeta      `json:",inline"`
}

// EventPolicyStatus is what is known about an EventPolicy.
type EventPolicyStatus struct {
	conditions.Status `json:",inline"`

	// From is the list of resolved OIDC identities from .spec.from.
	// +optional
	From []string `json:"from,omitempty"`
}

// EventPolicyList is a list of EventPolicies.
//
// +kubebuilder:object:root=true
type EventPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []EventPolicy `json:"items"`
}

const (
	// EventPolicyConditionReady follows the others.
	EventPolicyConditionReady = conditions.Ready
	// EventPolicyConditionAuthenticationEnabled is True when the feature authentication-oidc is on.
	EventPolicyConditionAuthenticationEnabled conditions.Type = "AuthenticationEnabled"
	// EventPolicyConditionSubjectsResolved is True when every sender has an identity.
	EventPolicyConditionSubjectsResolved conditions.Type = "SubjectsResolved"
)

var eventPolicyConditions = conditions.Living(
	EventPolicyConditionAuthenticationEnabled,
	EventPolicyConditionSubjectsResolved,
)

// IsReady reports whether the EventPolicy's latest spec is in effect.
func (e *EventPolicy) IsReady() bool {
	return e.Status.ObservedGeneration == e.Generation && e.Status.GetCondition(EventPolicyConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *EventPolicyStatus) Mark(now metav1.Time) conditions.Manager {
	return eventPolicyConditions.Manage(&s.Status, now)
}
