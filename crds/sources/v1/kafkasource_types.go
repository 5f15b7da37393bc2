package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// KafkaSource sends an event for each record of Kafka topics.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,eventing,sources}
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:subresource:scale:specpath=.spec.consumers,statuspath=.status.consumers,selectorpath=.status.selector
// +kubebuilder:printcolumn:name=Topics,type=string,JSONPath=`.spec.topics`
// +kubebuilder:printcolumn:name=BootstrapServers,type=string,JSONPath=`.spec.bootstrapServers`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:metadata:labels={"duck.knative.dev/source=true","eventing.knative.dev/source=true"}
// +kubebuilder:metadata:annotations={`registry.knative.dev/eventTypes=[{"type":"dev.knative.kafka.event"}]`}
type KafkaSource struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec KafkaSourceSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status KafkaSourceStatus `json:"status,omitempty,omitzero"`
}

// KafkaSourceSpec is what is read from where, and how.
type KafkaSourceSpec struct {
	// Consumers is the number of desired consumers running in the consumer group. Defaults to 1.
	// +optional
	Consumers *int32 `json:"consumers,omitempty"`

	KafkaAuthSpec `json:",inline"`

	// Topics to consume records from.
	Topics []string `json:"topics"`

	// ConsumerGroup is the consumer group ID. It cannot be changed.
	// +optional
	ConsumerGroup string `json:"consumerGroup,omitempty"`

	// InitialOffset is the initial offset for the consumer group: earliest or latest.
	// +optional
	InitialOffset Offset `json:"initialOffset,omitempty"`

	// Delivery says how hard to try.
	// +optional
	Delivery *duck.DeliverySpec `json:"delivery,omitempty"`

	// Ordering is ordered or unordered. By default, it is ordered.
	// +optional
	Ordering *DeliveryOrdering `json:"ordering,omitempty"`

	duck.SourceSpec `json:",inline"`
}

// DeliveryOrdering says whether records of a partition are sent one after the other.
type DeliveryOrdering string

const (
	// Ordered sends a partition's records one after the other.
	Ordered DeliveryOrdering = "ordered"
	// Unordered sends them side by side.
	Unordered DeliveryOrdering = "unordered"
)

// Offset is where a new consumer group begins.
type Offset string

const (
	// OffsetEarliest denotes the earliest offset in the partition.
	OffsetEarliest Offset = "earliest"
	// OffsetLatest denotes the latest offset in the partition.
	OffsetLatest Offset = "latest"
)

// KafkaAuthSpec is where Kafka is, and how to authenticate.
type KafkaAuthSpec struct {
	// BootstrapServers are the Kafka servers the consumer will connect to.
	BootstrapServers []string `json:"bootstrapServers"`

	// Net is how to connect.
	// +optional
	Net KafkaNetSpec `json:"net,omitempty,omitzero"`
}

// KafkaNetSpec is how to connect.
type KafkaNetSpec struct {
	// +optional
	SASL KafkaSASLSpec `json:"sasl,omitempty,omitzero"`
	// +optional
	TLS KafkaTLSSpec `json:"tls,omitempty,omitzero"`
}

// KafkaSASLSpec is how to authenticate by SASL.
type KafkaSASLSpec struct {
	// +optional
	Enable bool `json:"enable,omitempty"`

	// User is the Kubernetes Secret containing the SASL username.
	// +optional
	User SecretValueFromSource `json:"user,omitempty,omitzero"`

	// Password is the Kubernetes Secret containing the SASL password.
	// +optional
	Password SecretValueFromSource `json:"password,omitempty,omitzero"`

	// RoleARN is the Kubernetes Secret containing the ARN of the IAM role to assume. Only used with OAUTHBEARER.
	// +optional
	RoleARN SecretValueFromSource `json:"roleARN,omitempty,omitzero"`

	// TokenProvider is the Kubernetes Secret containing the OAUTHBEARER token provider. Only used with OAUTHBEARER.
	// +optional
	TokenProvider SecretValueFromSource `json:"tokenProvider,omitempty,omitzero"`

	// Type of SASL, defaults to PLAIN (vs SCRAM-SHA-512, SCRAM-SHA-256 or OAUTHBEARER).
	// +optional
	Type SecretValueFromSource `json:"type,omitempty,omitzero"`
}

// KafkaTLSSpec is how to authenticate by TLS.
type KafkaTLSSpec struct {
	// +optional
	Enable bool `json:"enable,omitempty"`

	// Cert is the Kubernetes Secret containing the client certificate.
	// +optional
	Cert SecretValueFromSource `json:"cert,omitempty,omitzero"`

	// Key is the Kubernetes Secret containing the client key.
	// +optional
	Key SecretValueFromSource `json:"key,omitempty,omitzero"`

	// CACert is the Kubernetes Secret containing the server CA certificate.
	// +optional
	CACert SecretValueFromSource `json:"caCert,omitempty,omitzero"`
}

// SecretValueFromSource represents the source of a secret value.
type SecretValueFromSource struct {
	// SecretKeyRef is the Secret's key to select from.
	// +optional
	SecretKeyRef *corev1.SecretKeySelector `json:"secretKeyRef,omitempty"`
}

// KafkaSourceStatus is what is known about a KafkaSource.
type KafkaSourceStatus struct {
	duck.SourceStatus `json:",inline"`

	// Consumers is the number of consumers actually running in the consumer group.
	// +optional
	Consumers int32 `json:"consumers,omitempty"`

	// Selector is for the subresource scale.
	// +optional
	Selector string `json:"selector,omitempty"`

	// Claims consumed by this KafkaSource.
	// +optional
	Claims string `json:"claims,omitempty"`

	// MaxAllowedVReplicas bounds the consumers.
	// +optional
	MaxAllowedVReplicas *int32 `json:"maxAllowedVReplicas,omitempty"`

	// Placements say where the consumers run.
	// +optional
	Placements []Placement `json:"placements,omitempty"`
}

// Placement is how many consumers run in a pod.
type Placement struct {
	// PodName is the name of the pod.
	// +optional
	PodName string `json:"podName,omitempty"`

	// VReplicas is the number of consumers in the pod.
	// +optional
	VReplicas int32 `json:"vreplicas,omitempty"`
}

// KafkaSourceList is a list of KafkaSources.
//
// +kubebuilder:object:root=true
type KafkaSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []KafkaSource `json:"items"`
}

const (
	// KafkaSourceConditionReady follows the others.
	KafkaSourceConditionReady = conditions.Ready
	// KafkaSourceConditionConsumerGroup is True when the topics are being read.
	KafkaSourceConditionConsumerGroup conditions.Type = "ConsumerGroup"
	// KafkaSourceConditionSinkProvided is True when the sink has a URI.
	KafkaSourceConditionSinkProvided conditions.Type = "SinkProvided"
	// KafkaSourceConditionOIDCIdentityCreated is True when there is a service account to send events as, or none is needed.
	KafkaSourceConditionOIDCIdentityCreated conditions.Type = "OIDCIdentityCreated"
)

var kafkaSourceConditions = conditions.Living(
	KafkaSourceConditionConsumerGroup,
	KafkaSourceConditionSinkProvided,
	KafkaSourceConditionOIDCIdentityCreated,
)

// IsReady reports whether the KafkaSource's latest spec is in effect.
func (k *KafkaSource) IsReady() bool {
	return k.Status.ObservedGeneration == k.Generation && k.Status.GetCondition(KafkaSourceConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *KafkaSourceStatus) Mark(now metav1.Time) conditions.Manager {
	return kafkaSourceConditions.Manage(&s.Status, now)
}

// KafkaSourceEventType is the CloudEvents type of events made from records that are no CloudEvents.
const KafkaSourceEventType = "dev.knative.kafka.event"

// KafkaKeyTypeLabelKey says how the keys of records are read: string, int, float or byte-array.
const KafkaKeyTypeLabelKey = "kafkasources.sources.knative.dev/key-type"
