package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// KafkaChannel is a channel whose events are kept in a Kafka topic.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,messaging,channel},shortName={kc}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.address.url`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:metadata:labels={"duck.knative.dev/addressable=true","messaging.knative.dev/subscribable=true"}
type KafkaChannel struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec KafkaChannelSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status KafkaChannelStatus `json:"status,omitempty,omitzero"`
}

// KafkaChannelSpec is what its topic is like, and who reads it.
type KafkaChannelSpec struct {
	// NumPartitions is the number of partitions of a Kafka topic. By default, it is set to 1. It cannot be changed.
	// +kubebuilder:default=1
	// +optional
	NumPartitions int32 `json:"numPartitions"`

	// ReplicationFactor is the replication factor of a Kafka topic. By default, it is set to 1. It cannot be changed.
	// +kubebuilder:default=1
	// +optional
	ReplicationFactor int16 `json:"replicationFactor"`

	// RetentionDuration is how long events are kept in the Kafka topic, an ISO 8601 duration. By default, it is set to 168 hours.
	// +kubebuilder:default=PT168H
	// +optional
	RetentionDuration string `json:"retentionDuration"`

	duck.ChannelableSpec `json:",inline"`
}

// KafkaChannelStatus is what is known about a KafkaChannel.
type KafkaChannelStatus struct {
	duck.ChannelableStatus `json:",inline"`
}

// KafkaChannelList is a list of KafkaChannels.
//
// +kubebuilder:object:root=true
type KafkaChannelList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []KafkaChannel `json:"items"`
}

const (
	// KafkaChannelConditionReady follows the others.
	KafkaChannelConditionReady = conditions.Ready
	// KafkaChannelConditionTopicReady is True when the topic is there.
	KafkaChannelConditionTopicReady conditions.Type = "TopicReady"
	// KafkaChannelConditionConfigReady is True when the settings say how to connect.
	KafkaChannelConditionConfigReady conditions.Type = "ConfigurationReady"
	// KafkaChannelConditionChannelServiceReady is True when there is a Service for the channel.
	KafkaChannelConditionChannelServiceReady conditions.Type = "ChannelServiceReady"
	// KafkaChannelConditionAddressable is True when there is an address to send events to.
	KafkaChannelConditionAddressable conditions.Type = "Addressable"
	// KafkaChannelConditionDeadLetterSinkResolved is True when the dead letter sink has a URI, or there is none.
	KafkaChannelConditionDeadLetterSinkResolved conditions.Type = "DeadLetterSinkResolved"
	// KafkaChannelConditionEventPoliciesReady is True when all applying EventPolicies are, or there are none.
	KafkaChannelConditionEventPoliciesReady conditions.Type = "EventPoliciesReady"
)

var kafkaChannelConditions = conditions.Living(
	KafkaChannelConditionTopicReady,
	KafkaChannelConditionConfigReady,
	KafkaChannelConditionChannelServiceReady,
	KafkaChannelConditionAddressable,
	KafkaChannelConditionDeadLetterSinkResolved,
	KafkaChannelConditionEventPoliciesReady,
)

// IsReady reports whether the KafkaChannel's latest spec is in effect.
func (k *KafkaChannel) IsReady() bool {
	return k.Status.ObservedGeneration == k.Generation && k.Status.GetCondition(KafkaChannelConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *KafkaChannelStatus) Mark(now metav1.Time) conditions.Manager {
	return kafkaChannelConditions.Manage(&s.Status, now)
}
