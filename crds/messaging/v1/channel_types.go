package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// Channel represents a generic channel. It is normally used when we want a channel, but do not need a specific implementation.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,messaging,channel},shortName={ch}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.address.url`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/addressable=true","messaging.knative.dev/subscribable=true"}
type Channel struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec ChannelSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status ChannelStatus `json:"status,omitempty,omitzero"`
}

// ChannelSpec is which kind of channel backs this one, and who reads it.
type ChannelSpec struct {
	// ChannelTemplate specifies which kind of channel to make to back this one. It cannot be changed. Normally it is filled in from
	// the ConfigMap default-ch-webhook.
	// +optional
	ChannelTemplate *duck.ChannelTemplateSpec `json:"channelTemplate,omitempty"`

	duck.ChannelableSpec `json:",inline"`
}

// ChannelStatus is what is known about a Channel.
type ChannelStatus struct {
	duck.ChannelableStatus `json:",inline"`

	// Channel is a reference to the channel backing this one.
	// +optional
	Channel *duck.KReference `json:"channel,omitempty"`
}

// ChannelList is a list of Channels.
//
// +kubebuilder:object:root=true
type ChannelList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Channel `json:"items"`
}

const (
	// ChannelConditionReady follows the others.
	ChannelConditionReady = conditions.Ready
	// ChannelConditionBackingChannelReady follows the channel that backs it.
	ChannelConditionBackingChannelReady conditions.Type = "BackingChannelReady"
	// ChannelConditionAddressable is True when there is an address to send events to.
	ChannelConditionAddressable conditions.Type = "Addressable"
	// ChannelConditionDeadLetterSinkResolved is True when the dead letter sink has a URI, or there is none.
	ChannelConditionDeadLetterSinkResolved conditions.Type = "DeadLetterSinkResolved"
	// ChannelConditionEventPoliciesReady is True when all applying EventPolicies are, or there are none.
	ChannelConditionEventPoliciesReady conditions.Type = "EventPoliciesReady"
)

var channelConditions = conditions.Living(
	ChannelConditionBackingChannelReady,
	ChannelConditionAddressable,
	ChannelConditionDeadLetterSinkResolved,
	ChannelConditionEventPoliciesReady,
)

// IsReady reports whether the Channel's latest spec is in effect.
func (c *Channel) IsReady() bool {
	return c.Status.ObservedGeneration == c.Generation && c.Status.GetCondition(ChannelConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *ChannelStatus) Mark(now metav1.Time) conditions.Manager {
	return channelConditions.Manage(&s.Status, now)
}
