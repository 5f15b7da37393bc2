package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// Subscription routes events received on a channel to a subscriber, and its replies on.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,messaging},shortName={sub}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
type Subscription struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec SubscriptionSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status SubscriptionStatus `json:"status,omitempty,omitzero"`
}

// SubscriptionSpec specifies the channel for incoming events, a subscriber for processing those events and where to put the result of
// the processing.
type SubscriptionSpec struct {
	// Channel is a reference to the channel that events come from. It cannot be changed.
	Channel duck.KReference `json:"channel"`

	// Subscriber is what processes events. It is required.
	// +optional
	Subscriber *duck.Destination `json:"subscriber,omitempty"`

	// Reply gets the events that the subscriber answers with.
	// +optional
	Reply *duck.Destination `json:"reply,omitempty"`

	// Delivery says how hard to try.
	// +optional
	Delivery *duck.DeliverySpec `json:"delivery,omitempty"`
}

// SubscriptionStatus is what is known about a Subscription.
type SubscriptionStatus struct {
	conditions.Status `json:",inline"`

	// PhysicalSubscription is the fully resolved values that this Subscription represents.
	// +optional
	PhysicalSubscription SubscriptionStatusPhysicalSubscription `json:"physicalSubscription,omitempty,omitzero"`

	// Auth says as whom events are sent.
	// +optional
	Auth *duck.AuthStatus `json:"auth,omitempty"`
}

// SubscriptionStatusPhysicalSubscription is a Subscription, resolved.
type SubscriptionStatusPhysicalSubscription struct {
	// SubscriberURI is the fully resolved URI for spec.subscriber.
	// +optional
	SubscriberURI *string `json:"subscriberUri,omitempty"`

	// SubscriberCACerts are the CA certificates in PEM format for SubscriberURI.
	// +optional
	SubscriberCACerts *string `json:"subscriberCACerts,omitempty"`

	// SubscriberAudience is the OIDC audience for SubscriberURI.
	// +optional
	SubscriberAudience *string `json:"subscriberAudience,omitempty"`

	// ReplyURI is the fully resolved URI for spec.reply.
	// +optional
	ReplyURI *string `json:"replyUri,omitempty"`

	// ReplyCACerts are the CA certificates in PEM format for ReplyURI.
	// +optional
	ReplyCACerts *string `json:"replyCACerts,omitempty"`

	// ReplyAudience is the OIDC audience for ReplyURI.
	// +optional
	ReplyAudience *string `json:"replyAudience,omitempty"`

	duck.DeliveryStatus `json:",inline"`
}

// SubscriptionList is a list of Subscriptions.
//
// +kubebuilder:object:root=true
type SubscriptionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Subscription `json:"items"`
}

const (
	// SubscriptionConditionReady follows the others.
	SubscriptionConditionReady = conditions.Ready
	// SubscriptionConditionReferencesResolved is True when subscriber and reply have URIs.
	SubscriptionConditionReferencesResolved conditions.Type = "ReferencesResolved"
	// SubscriptionConditionAddedToChannel is True when the channel knows of it.
	SubscriptionConditionAddedToChannel conditions.Type = "AddedToChannel"
	// SubscriptionConditionChannelReady follows the channel.
	SubscriptionConditionChannelReady conditions.Type = "ChannelReady"
	// SubscriptionConditionOIDCIdentityCreated is True when there is a service account to send events as, or none is needed.
	SubscriptionConditionOIDCIdentityCreated conditions.Type = "OIDCIdentityCreated"
)

var subscriptionConditions = conditions.Living(
	SubscriptionConditionReferencesResolved,
	SubscriptionConditionAddedToChannel,
	SubscriptionConditionChannelReady,
	SubscriptionConditionOIDCIdentityCreated,
)

// IsReady reports whether the Subscription's latest spec is in effect.
func (s *Subscription) IsReady() bool {
	return s.Status.ObservedGeneration == s.Generation && s.Status.GetCondition(SubscriptionConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *SubscriptionStatus) Mark(now metav1.Time) conditions.Manager {
	return subscriptionConditions.Manage(&s.Status, now)
}
