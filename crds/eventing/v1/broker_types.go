package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// Broker collects a pool of events that are consumable using Triggers. Brokers provide a well-known endpoint for event delivery
// that senders can use with minimal knowledge of the event routing strategy.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,eventing}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.address.url`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:printcolumn:name=Class,type=string,JSONPath=`.metadata.annotations.eventing\.knative\.dev/broker\.class`,priority=1
// +kubebuilder:metadata:labels={"duck.knative.dev/addressable=true"}
type Broker struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec BrokerSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status BrokerStatus `json:"status,omitempty,omitzero"`
}

// BrokerSpec is what a Broker is to be.
type BrokerSpec struct {
	// Config is a reference to the configuration that specifies configuration options for this Broker. For example, this could be a
	// ConfigMap. It cannot be changed.
	// +optional
	Config *duck.KReference `json:"config,omitempty"`

	// Delivery contains the delivery spec for each trigger to this Broker. Each trigger's delivery spec, if any, overrides this one.
	// +optional
	Delivery *duck.DeliverySpec `json:"delivery,omitempty"`
}

// BrokerStatus is what is known about a Broker.
type BrokerStatus struct {
	conditions.Status `json:",inline"`

	duck.AddressStatus `json:",inline"`

	duck.DeliveryStatus `json:",inline"`

	duck.AppliedEventPoliciesStatus `json:",inline"`
}

// BrokerList is a list of Brokers.
//
// +kubebuilder:object:root=true
type BrokerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Broker `json:"items"`
}

const (
	// BrokerConditionReady follows the others.
	BrokerConditionReady = conditions.Ready
	// BrokerConditionIngress is True when events are taken.
	BrokerConditionIngress conditions.Type = "IngressReady"
	// BrokerConditionTriggerChannel is True when events are stored.
	BrokerConditionTriggerChannel conditions.Type = "TriggerChannelReady"
	// BrokerConditionFilter is True when events are delivered.
	BrokerConditionFilter conditions.Type = "FilterReady"
	// BrokerConditionAddressable is True when there is an address to send events to.
	BrokerConditionAddressable conditions.Type = "Addressable"
	// BrokerConditionDeadLetterSinkResolved is True when the dead letter sink has a URI, or there is none.
	BrokerConditionDeadLetterSinkResolved conditions.Type = "DeadLetterSinkResolved"
	// BrokerConditionEventPoliciesReady is True when all applying EventPolicies are, or there are none.
	BrokerConditionEventPoliciesReady conditions.Type = "EventPoliciesReady"
)

var brokerConditions = conditions.Living(
	BrokerConditionIngress,
	BrokerConditionTriggerChannel,
	BrokerConditionFilter,
	BrokerConditionAddressable,
	BrokerConditionDeadLetterSinkResolved,
	BrokerConditionEventPoliciesReady,
)

// IsReady reports whether the Broker's latest spec is in effect.
func (b *Broker) IsReady() bool {
	return b.Status.ObservedGeneration == b.Generation && b.Status.GetCondition(BrokerConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *BrokerStatus) Mark(now metav1.Time) conditions.Manager {
	return brokerConditions.Manage(&s.Status, now)
}
