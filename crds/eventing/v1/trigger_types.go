package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// Trigger represents a request to have events delivered to a subscriber from a Broker's event pool.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,eventing}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Broker,type=string,JSONPath=`.spec.broker`
// +kubebuilder:printcolumn:name=Subscriber_URI,type=string,JSONPath=`.status.subscriberUri`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
type Trigger struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec TriggerSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status TriggerStatus `json:"status,omitempty,omitzero"`
}

// TriggerSpec is what a Trigger is to deliver, and where to.
type TriggerSpec struct {
	// Broker is the broker that this trigger receives events from. It cannot be changed.
	// +optional
	Broker string `json:"broker,omitempty"`

	// BrokerRef is the broker that this trigger receives events from, in another namespace. It cannot be changed.
	// +optional
	BrokerRef *duck.KReference `json:"brokerRef,omitempty"`

	// Filter is the filter to apply against all events from the Broker. Only events that pass this filter will be sent to the
	// Subscriber. If not specified, all events pass.
	// +optional
	Filter *TriggerFilter `json:"filter,omitempty"`

	// Filters is an array of filter expressions of the CloudEvents Subscriptions API. An event passes when all of them do.
	// Where it is not empty, it overrides Filter.
	// +optional
	Filters []SubscriptionsAPIFilter `json:"filters,omitempty"`

	// Subscriber is the addressable that receives events from the Broker that pass the Filter. It is required.
	Subscriber duck.Destination `json:"subscriber"`

	// Delivery contains the delivery spec for this specific trigger.
	// +optional
	Delivery *duck.DeliverySpec `json:"delivery,omitempty"`
}

// TriggerFilter passes events by their attributes.
type TriggerFilter struct {
	// Attributes filters events by exact match on event context attributes. Each key is compared with the equivalent key in the event
	// context. An event passes if all values are equal to the specified values; the empty value passes any.
	// +optional
	Attributes map[string]string `json:"attributes,omitempty"`
}

// TriggerAnyFilter is the value of an attribute in a TriggerFilter that every value passes.
const TriggerAnyFilter = ""

// SubscriptionsAPIFilter is a filter expression of the CloudEvents Subscriptions API. It has one dialect; without one every event passes.
type SubscriptionsAPIFilter struct {
	// All evaluates to true if all the nested expressions evaluate to true. It must contain at least one filter expression.
	// +optional
	All []SubscriptionsAPIFilter `json:"all,omitempty"`

	// Any evaluates to true if at least one of the nested expressions evaluates to true. It must contain at least one filter expression.
	// +optional
	Any []SubscriptionsAPIFilter `json:"any,omitempty"`

	// Not evaluates to true if the nested expression evaluates to false.
	// +optional
	Not *SubscriptionsAPIFilter `json:"not,omitempty"`

	// Exact evaluates to true if the values of the CloudEvents attributes that are its keys all equal the value (case-sensitive).
	// +optional
	Exact map[string]string `json:"exact,omitempty"`

	// Prefix evaluates to true if the values of the CloudEvents attributes that are its keys all start with the value (case-sensitive).
	// +optional
	Prefix map[string]string `json:"prefix,omitempty"`

	// Suffix evaluates to true if the values of the CloudEvents attributes that are its keys all end with the value (case-sensitive).
	// +optional
	Suffix map[string]string `json:"suffix,omitempty"`

	// CESQL is a CloudEvents SQL expression that will be evaluated to true or false against each CloudEvent.
	// +optional
	CESQL string `json:"cesql,omitempty"`
}

// TriggerStatus is what is known about a Trigger.
type TriggerStatus struct {
	conditions.Status `json:",inline"`

	// SubscriberURI is the resolved URI of the receiver for this Trigger.
	// +optional
	SubscriberURI *string `json:"subscriberUri,omitempty"`

	// SubscriberCACerts are Certification Authority (CA) certificates in PEM format of the receiver for this Trigger.
	// +optional
	SubscriberCACerts *string `json:"subscriberCACerts,omitempty"`

	// SubscriberAudience is the OIDC audience of the subscriber.
	// +optional
	SubscriberAudience *string `json:"subscriberAudience,omitempty"`

	duck.DeliveryStatus `json:",inline"`

	// Auth says as whom events are sent.
	// +optional
	Auth *duck.AuthStatus `json:"auth,omitempty"`
}

// TriggerList is a list of Triggers.
//
// +kubebuilder:object:root=true
type TriggerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Trigger `json:"items"`
}

const (
	// TriggerConditionReady follows the others.
	TriggerConditionReady = conditions.Ready
	// TriggerConditionBroker follows the Broker.
	TriggerConditionBroker conditions.Type = "BrokerReady"
	// TriggerConditionSubscribed is True when events are being read for it.
	TriggerConditionSubscribed conditions.Type = "SubscriptionReady"
	// TriggerConditionDependency is True when what the annotation knative.dev/dependency names is ready.
	TriggerConditionDependency conditions.Type = "DependencyReady"
	// TriggerConditionSubscriberResolved is True when the subscriber has a URI.
	TriggerConditionSubscriberResolved conditions.Type = "SubscriberResolved"
	// TriggerConditionDeadLetterSinkResolved is True when the dead letter sink has a URI, or there is none.
	TriggerConditionDeadLetterSinkResolved conditions.Type = "DeadLetterSinkResolved"
	// TriggerConditionOIDCIdentityCreated is True when there is a service account to send events as, or none is needed.
	TriggerConditionOIDCIdentityCreated conditions.Type = "OIDCIdentityCreated"
)

var triggerConditions = conditions.Living(
	TriggerConditionBroker,
	TriggerConditionSubscribed,
	TriggerConditionDependency,
	TriggerConditionSubscriberResolved,
	TriggerConditionDeadLetterSinkResolved,
	TriggerConditionOIDCIdentityCreated,
)

// IsReady reports whether the Trigger's latest spec is in effect.
func (t *Trigger) IsReady() bool {
	return t.Status.ObservedGeneration == t.Generation && t.Status.GetCondition(TriggerConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *TriggerStatus) Mark(now metav1.Time) conditions.Manager {
	return triggerConditions.Manage(&s.Status, now)
}
