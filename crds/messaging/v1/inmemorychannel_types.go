package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// InMemoryChannel is a channel of the default log.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,messaging,channel},shortName={imc}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.address.url`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/addressable=true","messaging.knative.dev/subscribable=true"}
type InMemoryChannel struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec InMemoryChannelSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status InMemoryChannelStatus `json:"status,omitempty,omitzero"`
}

// InMemoryChannelSpec is who reads the channel.
type InMemoryChannelSpec struct {
	duck.ChannelableSpec `json:",inline"`
}

// InMemoryChannelStatus is what is known about an InMemoryChannel.
type InMemoryChannelStatus struct {
	duck.ChannelableStatus `json:",inline"`
}

// InMemoryChannelList is a list of InMemoryChannels.
//
// +kubebuilder:object:root=true
type InMemoryChannelList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []InMemoryChannel `json:"items"`
}

const (
	// InMemoryChannelConditionReady follows the others.
	InMemoryChannelConditionReady = conditions.Ready
	// InMemoryChannelConditionDispatcherReady is True when events are delivered.
	InMemoryChannelConditionDispatcherReady conditions.Type = "DispatcherReady"
	// InMemoryChannelConditionServiceReady is True when there is a Service for the dispatcher.
	InMemoryChannelConditionServiceReady conditions.Type = "ServiceReady"
	// InMemoryChannelConditionEndpointsReady is True when that Service has endpoints.
	InMemoryChannelConditionEndpointsReady conditions.Type = "EndpointsReady"
	// InMemoryChannelConditionAddressable is True when there is an address to send events to.
	InMemoryChannelConditionAddressable conditions.Type = "Addressable"
	// InMemoryChannelConditionChannelServiceReady is True when there is a Service for the channel.
	InMemoryChannelConditionChannelServiceReady conditions.Type = "ChannelServiceReady"
	// InMemoryChannelConditionDeadLetterSinkResolved is True when the dead letter sink has a URI, or there is none.
	InMemoryChannelConditionDeadLetterSinkResolved conditions.Type = "DeadLetterSinkResolved"
	// InMemoryChannelConditionEventPoliciesReady is True when all applying EventPolicies are, or there are none.
	InMemoryChannelConditionEventPoliciesReady conditions.Type = "EventPoliciesReady"
)

var inMemoryChannelConditions = conditions.Living(
	InMemoryChannelConditionServiceReady,
	InMemoryChannelConditionEndpointsReady,
	InMemoryChannelConditionAddressable,
	InMemoryChannelConditionChannelServiceReady,
	InMemoryChannelConditionDeadLetterSinkResolved,
	InMemoryChannelConditionEventPoliciesReady,
)

// IsReady reports whether the InMemoryChannel's latest spec is in effect.
func (i *InMemoryChannel) IsReady() bool {
	return i.Status.ObservedGeneration == i.Generation && i.Status.GetCondition(InMemoryChannelConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *InMemoryChannelStatus) Mark(now metav1.Time) conditions.Manager {
	return inMemoryChannelConditions.Manage(&s.Status, now)
}
