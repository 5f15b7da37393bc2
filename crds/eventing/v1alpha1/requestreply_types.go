package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// RequestReply represents a synchronous interface to sending and receiving events from a Broker.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,eventing},shortName={rr}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.address.url`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/addressable=true"}
type RequestReply struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec RequestReplySpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status RequestReplyStatus `json:"status,omitempty,omitzero"`
}

// RequestReplySpec is how requests and their replies are told.
type RequestReplySpec struct {
	// BrokerRef contains the reference to the broker the RequestReply sends events to. It cannot be changed.
	BrokerRef duck.KReference `json:"brokerRef"`

	// CorrelationAttribute is the extension attribute that requests are given.
	// +optional
	CorrelationAttribute string `json:"correlationAttribute,omitempty"`

	// ReplyAttribute is the extension attribute in which replies bring the correlation back.
	// +optional
	ReplyAttribute string `json:"replyAttribute,omitempty"`

	// Timeout is how long to wait for the reply, an ISO 8601 duration.
	// +optional
	Timeout *string `json:"timeout,omitempty"`

	// Delivery is how often storing a request is tried again while the Broker cannot.
	// +optional
	Delivery *duck.DeliverySpec `json:"delivery,omitempty"`
}

// RequestReplyStatus is what is known about a RequestReply.
type RequestReplyStatus struct {
	conditions.Status `json:",inline"`

	duck.AddressStatus `json:",inline"`

	duck.AppliedEventPoliciesStatus `json:",inline"`

	// DesiredReplicas is the number of replicas that is desired.
	// +optional
	DesiredReplicas *int32 `json:"desiredReplicas,omitempty"`

	// ReadyReplicas is the number of ready replicas.
	// +optional
	ReadyReplicas *int32 `json:"readyReplicas,omitempty"`
}

// RequestReplyList is a list of RequestReplies.
//
// +kubebuilder:object:root=true
type RequestReplyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []RequestReply `json:"items"`
}

const (
	// RequestReplyConditionReady follows the others.
	RequestReplyConditionReady = conditions.Ready
	// RequestReplyConditionTriggers is True when replies are being read.
	RequestReplyConditionTriggers conditions.Type = "TriggersReady"
	// RequestReplyConditionAddressable is True when there is an address to send events to.
	RequestReplyConditionAddressable conditions.Type = "Addressable"
	// RequestReplyConditionEventPoliciesReady is True when all applying EventPolicies are, or there are none.
	RequestReplyConditionEventPoliciesReady conditions.Type = "EventPoliciesReady"
	// RequestReplyConditionBrokerReady follows the Broker.
	RequestReplyConditionBrokerReady conditions.Type = "BrokerReady"
)

var requestReplyConditions = conditions.Living(
	RequestReplyConditionTriggers,
	RequestReplyConditionAddressable,
	RequestReplyConditionEventPoliciesReady,
	RequestReplyConditionBrokerReady,
)

// IsReady reports whether the RequestReply's latest spec is in effect.
func (r *RequestReply) IsReady() bool {
	return r.Status.ObservedGeneration == r.Generation && r.Status.GetCondition(RequestReplyConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *RequestReplyStatus) Mark(now metav1.Time) conditions.Manager {
	return requestReplyConditions.Manage(&s.Status, now)
}
