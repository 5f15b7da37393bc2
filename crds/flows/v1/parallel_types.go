package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// Parallel defines conditional branches: each event goes to every branch whose filter lets it pass.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,flows}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.address.url`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/addressable=true"}
type Parallel struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec ParallelSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status ParallelStatus `json:"status,omitempty,omitzero"`
}

// ParallelSpec is the branches, and where their results go.
type ParallelSpec struct {
	// Branches is the list of filter/subscriber pairs.
	Branches []ParallelBranch `json:"branches"`

	// ChannelTemplate specifies which kind of channel to use. It is filled in from the ConfigMap default-ch-webhook, and cannot be
	// changed.
	// +optional
	ChannelTemplate *duck.ChannelTemplateSpec `json:"channelTemplate,omitempty"`

	// Reply is a reference to where the result of a branch gets sent to when the branch does not have a Reply.
	// +optional
	Reply *duck.Destination `json:"reply,omitempty"`
}

// ParallelBranch is one branch.
type ParallelBranch struct {
	// Filter answers with the event to pass it on to the branch.
	// +optional
	Filter *duck.Destination `json:"filter,omitempty"`

	// Subscriber receives the event when the filter passes.
	Subscriber duck.Destination `json:"subscriber"`

	// Reply is a reference to where the result of Subscriber gets sent to. If not specified, it is the Parallel's.
	// +optional
	Reply *duck.Destination `json:"reply,omitempty"`

	// Delivery is the delivery specification for events to the subscriber.
	// +optional
	Delivery *duck.DeliverySpec `json:"delivery,omitempty"`
}

// ParallelStatus is what is known about a Parallel.
type ParallelStatus struct {
	conditions.Status `json:",inline"`

	// IngressChannelStatus corresponds to the ingress channel status.
	// +optional
	IngressChannelStatus ChannelStatus `json:"ingressChannelStatus,omitempty,omitzero"`

	// BranchStatuses is an array of corresponding branch statuses. Matches the Spec.Branches array in the order.
	// +optional
	BranchStatuses []ParallelBranchStatus `json:"branchStatuses,omitempty"`

	// The address is the starting point to this Parallel.
	duck.AddressStatus `json:",inline"`

	// Auth says as whom events are sent.
	// +optional
	Auth *duck.AuthStatus `json:"auth,omitempty"`

	duck.AppliedEventPoliciesStatus `json:",inline"`
}

// ParallelBranchStatus is how a branch is.
type ParallelBranchStatus struct {
	// FilterSubscriptionStatus corresponds to the filter subscription status.
	// +optional
	FilterSubscriptionStatus SubscriptionStatus `json:"filterSubscriptionStatus,omitempty,omitzero"`

	// FilterChannelStatus corresponds to the filter channel status.
	// +optional
	FilterChannelStatus ChannelStatus `json:"filterChannelStatus,omitempty,omitzero"`

	// SubscriptionStatus corresponds to the subscriber subscription status.
	// +optional
	SubscriptionStatus SubscriptionStatus `json:"subscriberSubscriptionStatus,omitempty,omitzero"`
}

// ParallelList is a list of Parallels.
//
// +kubebuilder:object:root=true
type ParallelList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Parallel `json:"items"`
}

const (
	// ParallelConditionReady follows the others.
	ParallelConditionReady = conditions.Ready
	// ParallelConditionChannelsReady is True when all its channels are.
	ParallelConditionChannelsReady conditions.Type = "ChannelsReady"
	// ParallelConditionSubscriptionsReady is True when all its subscriptions are.
	ParallelConditionSubscriptionsReady conditions.Type = "SubscriptionsReady"
	// ParallelConditionAddressable is True when there is an address to send events to.
	ParallelConditionAddressable conditions.Type = "Addressable"
	// ParallelConditionEventPoliciesReady is True when all applying EventPolicies are, or there are none.
	ParallelConditionEventPoliciesReady conditions.Type = "EventPoliciesReady"
)

var parallelConditions = conditions.Living(
	ParallelConditionChannelsReady,
	ParallelConditionSubscriptionsReady,
	ParallelConditionAddressable,
	ParallelConditionEventPoliciesReady,
)

// IsReady reports whether the Parallel's latest spec is in effect.
func (p *Parallel) IsReady() bool {
	return p.Status.ObservedGeneration == p.Generation && p.Status.GetCondition(ParallelConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *ParallelStatus) Mark(now metav1.Time) conditions.Manager {
	return parallelConditions.Manage(&s.Status, now)
}
