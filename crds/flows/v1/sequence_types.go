package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// Sequence defines a sequence of subscribers that will be wired in series.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,flows}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.address.url`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/addressable=true"}
type Sequence struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec SequenceSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status SequenceStatus `json:"status,omitempty,omitzero"`
}

// SequenceSpec is the steps, and where their result goes.
type SequenceSpec struct {
	// Steps is the list of destinations (processors / functions) that will be called in the order provided. Each step has its own
	// delivery options.
	Steps []SequenceStep `json:"steps"`

	// ChannelTemplate specifies which kind of channel to use. It is filled in from the ConfigMap default-ch-webhook, and cannot be
	// changed.
	// +optional
	ChannelTemplate *duck.ChannelTemplateSpec `json:"channelTemplate,omitempty"`

	// Reply is a reference to where the result of the last step gets sent to.
	// +optional
	Reply *duck.Destination `json:"reply,omitempty"`
}

// SequenceStep is one step.
type SequenceStep struct {
	duck.Destination `json:",inline"`

	// Delivery is the delivery specification for events to the step.
	// +optional
	Delivery *duck.DeliverySpec `json:"delivery,omitempty"`
}

// SequenceStatus is what is known about a Sequence.
type SequenceStatus struct {
	conditions.Status `json:",inline"`

	// SubscriptionStatuses is an array of corresponding Subscription statuses. Matches the Spec.Steps array in the order.
	// +optional
	SubscriptionStatuses []SubscriptionStatus `json:"subscriptionStatuses,omitempty"`

	// ChannelStatuses is an array of corresponding channel statuses. Matches the Spec.Steps array in the order.
	// +optional
	ChannelStatuses []ChannelStatus `json:"channelStatuses,omitempty"`

	// The address is the starting point to this Sequence: sending to it calls the first step.
	duck.AddressStatus `json:",inline"`

	// Auth says as whom events are sent.
	// +optional
	Auth *duck.AuthStatus `json:"auth,omitempty"`

	duck.AppliedEventPoliciesStatus `json:",inline"`
}

// ChannelStatus is a channel of a flow, and how it is.
type ChannelStatus struct {
	// Channel is the reference to the underlying channel.
	// +optional
	Channel duck.KReference `json:"channel,omitempty,omitzero"`

	// ReadyCondition indicates whether the channel is ready or not.
	// +optional
	ReadyCondition conditions.Condition `json:"ready,omitempty,omitzero"`
}

// SubscriptionStatus is a Subscription of a flow, and how it is.
type SubscriptionStatus struct {
	// Subscription is the reference to the underlying Subscription.
	// +optional
	Subscription duck.KReference `json:"subscription,omitempty,omitzero"`

	// ReadyCondition indicates whether the Subscription is ready or not.
	// +optional
	ReadyCondition conditions.Condition `json:"ready,omitempty,omitzero"`
}

// SequenceList is a list of Sequences.
//
// +kubebuilder:object:root=true
type SequenceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Sequence `json:"items"`
}

const (
	// SequenceConditionReady follows the others.
	SequenceConditionReady = conditions.Ready
	// SequenceConditionChannelsReady is True when all its channels are.
	SequenceConditionChannelsReady conditions.Type = "ChannelsReady"
	// SequenceConditionSubscriptionsReady is True when all its subscriptions are.
	SequenceConditionSubscriptionsReady conditions.Type = "SubscriptionsReady"
	// SequenceConditionAddressable is True when there is an address to send events to.
	SequenceConditionAddressable conditions.Type = "Addressable"
	// SequenceConditionEventPoliciesReady is True when all applying EventPolicies are, or there are none.
	SequenceConditionEventPoliciesReady conditions.Type = "EventPoliciesReady"
)

var sequenceConditions = conditions.Living(
	SequenceConditionChannelsReady,
	SequenceConditionSubscriptionsReady,
	SequenceConditionAddressable,
	SequenceConditionEventPoliciesReady,
)

// IsReady reports whether the Sequence's latest spec is in effect.
func (s *Sequence) IsReady() bool {
	return s.Status.ObservedGeneration == s.Generation && s.Status.GetCondition(SequenceConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *SequenceStatus) Mark(now metav1.Time) conditions.Manager {
	return sequenceConditions.Manage(&s.Status, now)
}
