package duck

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/crds/conditions"
)

// ChannelableSpec is what every channel's spec has. It is embedded inline.
type ChannelableSpec struct {
	SubscribableSpec `json:",inline"`

	// Delivery is the default delivery for each subscription to this channel. A subscription's own says more.
	// +optional
	Delivery *DeliverySpec `json:"delivery,omitempty"`
}

// ChannelableStatus is what every channel's status has. It is embedded inline.
type ChannelableStatus struct {
	conditions.Status `json:",inline"`

	AddressStatus `json:",inline"`

	SubscribableStatus `json:",inline"`

	DeliveryStatus `json:",inline"`

	AppliedEventPoliciesStatus `json:",inline"`
}

// SubscribableSpec lists who reads a channel.
type SubscribableSpec struct {
	// Subscribers is the list of subscriptions for this channel. Subscriptions write it, not users.
	// +optional
	Subscribers []SubscriberSpec `json:"subscribers,omitempty" patchStrategy:"merge" patchMergeKey:"uid"`
}

// SubscribableStatus lists how each reader of a channel is.
type SubscribableStatus struct {
	// Subscribers is the list of the subscriptions' statuses for this channel.
	// +optional
	Subscribers []SubscriberStatus `json:"subscribers,omitempty" patchStrategy:"merge" patchMergeKey:"uid"`
}

// SubscriberSpec is one reader of a channel, resolved.
type SubscriberSpec struct {
	// Name is the name of the Subscription.
	// +optional
	Name *string `json:"name,omitempty"`

	// UID is that of the Subscription.
	// +optional
	UID types.UID `json:"uid,omitempty"`

	// Generation is that of the Subscription.
	// +optional
	Generation int64 `json:"generation,omitempty"`

	// SubscriberURI is the endpoint for the subscriber.
	// +optional
	SubscriberURI *string `json:"subscriberUri,omitempty"`

	// SubscriberCACerts are the CA certificates in PEM format for SubscriberURI.
	// +optional
	SubscriberCACerts *string `json:"subscriberCACerts,omitempty"`

	// SubscriberAudience is the OIDC audience for SubscriberURI.
	// +optional
	SubscriberAudience *string `json:"subscriberAudience,omitempty"`

	// ReplyURI is the endpoint for the reply.
	// +optional
	ReplyURI *string `json:"replyUri,omitempty"`

	// ReplyCACerts are the CA certificates in PEM format for ReplyURI.
	// +optional
	ReplyCACerts *string `json:"replyCACerts,omitempty"`

	// ReplyAudience is the OIDC audience for ReplyURI.
	// +optional
	ReplyAudience *string `json:"replyAudience,omitempty"`

	// Delivery says how hard to try.
	// +optional
	Delivery *DeliverySpec `json:"delivery,omitempty"`

	// Auth says as whom events are sent.
	// +optional
	Auth *AuthStatus `json:"auth,omitempty"`
}

// SubscriberStatus says how one reader of a channel is.
type SubscriberStatus struct {
	// UID is that of the Subscription.
	// +optional
	UID types.UID `json:"uid,omitempty"`

	// ObservedGeneration is the generation of the Subscription that the channel knows.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Ready is the status of the subscriber.
	// +optional
	Ready corev1.ConditionStatus `json:"ready,omitempty"`

	// Message is a human readable message indicating details of Ready status.
	// +optional
	Message string `json:"message,omitempty"`

	// Auth says as whom events are sent.
	// +optional
	Auth *AuthStatus `json:"auth,omitempty"`
}

// ChannelTemplateSpec says which kind of channel to make.
type ChannelTemplateSpec struct {
	metav1.TypeMeta `json:",inline"`

	// Spec defines the Spec to use for each channel created. Passed in verbatim to the channel as Spec section.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Spec *runtime.RawExtension `json:"spec,omitempty"`
}
