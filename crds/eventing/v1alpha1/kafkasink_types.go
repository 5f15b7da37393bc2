package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// KafkaSink is an addressable resource that represents a Kafka topic.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,eventing}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.address.url`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/addressable=true"}
type KafkaSink struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec KafkaSinkSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status KafkaSinkStatus `json:"status,omitempty,omitzero"`
}

// KafkaSinkSpec is which topic, where, and how events are written to it.
type KafkaSinkSpec struct {
	// Topic name to send events. It cannot be changed.
	Topic string `json:"topic"`

	// NumPartitions is the number of partitions of a topic that is made; without it the topic must exist. It cannot be changed.
	// +optional
	NumPartitions *int32 `json:"numPartitions,omitempty"`

	// ReplicationFactor is that of a topic that is made. It cannot be changed.
	// +optional
	ReplicationFactor *int16 `json:"replicationFactor,omitempty"`

	// BootstrapServers are Kafka's.
	BootstrapServers []string `json:"bootstrapServers"`

	// ContentMode is the CloudEvents content mode of records: structured or binary, by default binary.
	// +optional
	ContentMode *string `json:"contentMode,omitempty"`

	// Auth is how to authenticate.
	// +optional
	Auth *KafkaAuth `json:"auth,omitempty"`
}

// The content modes of records.
const (
	ModeBinary     = "binary"
	ModeStructured = "structured"
)

// KafkaAuth is how to authenticate.
type KafkaAuth struct {
	// Secret holds the credentials.
	// +optional
	Secret *KafkaSecret `json:"secret,omitempty"`
}

// KafkaSecret holds credentials.
type KafkaSecret struct {
	// Ref names the Secret with the SASL and TLS configuration.
	// +optional
	Ref *KafkaSecretReference `json:"ref,omitempty"`
}

// KafkaSecretReference names a Secret in the same namespace.
type KafkaSecretReference struct {
	// Name of the Secret.
	Name string `json:"name"`
}

// KafkaSinkStatus is what is known about a KafkaSink.
type KafkaSinkStatus struct {
	conditions.Status `json:",inline"`

	duck.AddressStatus `json:",inline"`

	duck.AppliedEventPoliciesStatus `json:",inline"`
}

// KafkaSinkList is a list of KafkaSinks.
//
// +kubebuilder:object:root=true
type KafkaSinkList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []KafkaSink `json:"items"`
}

const (
	// KafkaSinkConditionReady follows the others.
	KafkaSinkConditionReady = conditions.Ready
	// KafkaSinkConditionAddressable is True when there is an address to send events to.
	KafkaSinkConditionAddressable conditions.Type = "Addressable"
	// KafkaSinkConditionTopicReady is True when the topic is there.
	KafkaSinkConditionTopicReady conditions.Type = "TopicReady"
	// KafkaSinkConditionConfigParsed is True when the spec and its Secret say how to connect.
	KafkaSinkConditionConfigParsed conditions.Type = "ConfigParsed"
	// KafkaSinkConditionConfigMapUpdated is True when the data plane knows of it.
	KafkaSinkConditionConfigMapUpdated conditions.Type = "ConfigMapUpdated"
	// KafkaSinkConditionEventPoliciesReady is True when all applying EventPolicies are, or there are none.
	KafkaSinkConditionEventPoliciesReady conditions.Type = "EventPoliciesReady"
)

var kafkaSinkConditions = conditions.Living(
	KafkaSinkConditionAddressable,
	KafkaSinkConditionTopicReady,
	KafkaSinkConditionConfigParsed,
	KafkaSinkConditionConfigMapUpdated,
	KafkaSinkConditionEventPoliciesReady,
)

// IsReady reports whether the KafkaSink's latest spec is in effect.
func (k *KafkaSink) IsReady() bool {
	return k.Status.ObservedGeneration == k.Generation && k.Status.GetCondition(KafkaSinkConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *KafkaSinkStatus) Mark(now metav1.Time) conditions.Manager {
	return kafkaSinkConditions.Manage(&s.Status, now)
}
