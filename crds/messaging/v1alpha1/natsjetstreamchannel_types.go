package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// NatsJetStreamChannel is a channel whose events are kept in a NATS JetStream stream.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,messaging,channel},shortName={natsjsmc}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.address.url`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:metadata:labels={"duck.knative.dev/addressable=true","messaging.knative.dev/subscribable=true"}
type NatsJetStreamChannel struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec NatsJetStreamChannelSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status NatsJetStreamChannelStatus `json:"status,omitempty,omitzero"`
}

// NatsJetStreamChannelSpec is what its stream and its consumers are like, and who reads it.
type NatsJetStreamChannelSpec struct {
	duck.ChannelableSpec `json:",inline"`

	// Stream says how the stream is made.
	// +optional
	Stream Stream `json:"stream,omitempty,omitzero"`

	// ConsumerConfigTemplate says how a consumer is made for each Subscription.
	// +optional
	ConsumerConfigTemplate *ConsumerConfigTemplate `json:"consumerConfigTemplate,omitempty"`

	// DeploymentSpecTemplate is taken and has no effect: no pod runs for a channel of its own.
	// +optional
	DeploymentSpecTemplate *DeploymentTemplate `json:"deploymentSpecTemplate,omitempty"`
}

// Stream says how a stream is made.
type Stream struct {
	// OverrideName allows defining a custom stream name; by default it is made from the namespace and name of the channel.
	// +optional
	OverrideName string `json:"overrideName,omitempty"`

	// Config of the stream.
	// +optional
	Config *StreamConfig `json:"config,omitempty"`
}

// StreamConfig is the configuration of a stream.
type StreamConfig struct {
	// AdditionalSubjects allows adding additional subjects which this stream will subscribe to.
	// +optional
	AdditionalSubjects []string `json:"additionalSubjects,omitempty"`

	// Retention defines how messages in a stream should be retained: Limits, Interest or Work.
	// +kubebuilder:validation:Enum=Limits;Interest;Work
	// +optional
	Retention string `json:"retention,omitempty"`

	// MaxConsumers defines how many consumers can be bound to this stream.
	// +optional
	MaxConsumers int `json:"maxConsumers,omitempty"`

	// MaxMsgs defines how many messages this stream can store.
	// +optional
	MaxMsgs int64 `json:"maxMsgs,omitempty"`

	// MaxBytes defines how many bytes this stream can store spanning all messages in the stream.
	// +optional
	MaxBytes int64 `json:"maxBytes,omitempty"`

	// Discard defines what is discarded when a limit is reached: Old or New.
	// +kubebuilder:validation:Enum=Old;New
	// +optional
	Discard string `json:"discard,omitempty"`

	// MaxAge defines the maximum age of a message which is allowed in the stream, such as 24h.
	// +optional
	MaxAge metav1.Duration `json:"maxAge,omitempty,omitzero"`

	// MaxMsgSize defines the maximum size in bytes of an individual message.
	// +optional
	MaxMsgSize int32 `json:"maxMsgSize,omitempty"`

	// Storage defines the storage mechanism for this stream: File or Memory.
	// +kubebuilder:validation:Enum=File;Memory
	// +optional
	Storage string `json:"storage,omitempty"`

	// Replicas defines how many replicas of each message should be stored. This is only applicable for clustered JetStream.
	// +optional
	Replicas int `json:"replicas,omitempty"`

	// NoAck disables acknowledgement of messages when true.
	// +optional
	NoAck bool `json:"noAck,omitempty"`

	// DuplicateWindow defines the duration for which messages should be tracked for detecting duplicates, such as 2m.
	// +optional
	DuplicateWindow metav1.Duration `json:"duplicateWindow,omitempty,omitzero"`

	// Placement allows configuring which JetStream server the stream should be placed on.
	// +optional
	Placement *StreamPlacement `json:"placement,omitempty"`

	// Mirror configures the stream to mirror another stream.
	// +optional
	Mirror *StreamSource `json:"mirror,omitempty"`

	// Sources allows aggregating messages from other streams into a new stream.
	// +optional
	Sources []StreamSource `json:"sources,omitempty"`
}

// StreamPlacement is used to guide placement of streams in clustered JetStream.
type StreamPlacement struct {
	// Cluster denotes the cluster name which this stream should be placed on.
	// +optional
	Cluster string `json:"cluster,omitempty"`

	// Tags will restrict this stream to only be stored on servers matching these tags.
	// +optional
	Tags []string `json:"tags,omitempty"`
}

// StreamSource dictates how streams can source from other streams.
type StreamSource struct {
	// Name is the stream name which this source is referencing.
	// +optional
	Name string `json:"name,omitempty"`

	// OptStartSeq denotes the message sequence number which this source should start from. It takes precedence over OptStartTime.
	// +optional
	OptStartSeq uint64 `json:"optStartSeq,omitempty"`

	// OptStartTime configures the source to start at the first message after this timestamp.
	// +optional
	OptStartTime *metav1.Time `json:"optStartTime,omitempty"`

	// FilterSubject configures the source to only include messages matching this subject.
	// +optional
	FilterSubject string `json:"filterSubject,omitempty"`
}

// ConsumerConfigTemplate says how a consumer is made for each Subscription of the channel.
type ConsumerConfigTemplate struct {
	// DeliverPolicy defines where a consumer begins: All, Last, New, ByStartSequence or ByStartTime.
	// +kubebuilder:validation:Enum=All;Last;New;ByStartSequence;ByStartTime
	// +optional
	DeliverPolicy string `json:"deliverPolicy,omitempty"`

	// OptStartSeq denotes the message sequence number which this consumer should start from, with ByStartSequence.
	// +optional
	OptStartSeq uint64 `json:"optStartSeq,omitempty"`

	// OptStartTime is the time after which this consumer should start, with ByStartTime.
	// +optional
	OptStartTime *metav1.Time `json:"optStartTime,omitempty"`

	// AckWait denotes the duration for which delivered messages should wait for an acknowledgement before attempting redelivery.
	// +optional
	AckWait metav1.Duration `json:"ackWait,omitempty,omitzero"`

	// MaxDeliver denotes the maximum number of times a message will be redelivered before being dropped or dead-lettered.
	// +optional
	MaxDeliver int `json:"maxDeliver,omitempty"`

	// FilterSubject configures the consumer to only include messages matching this subject.
	// +optional
	FilterSubject string `json:"filterSubject,omitempty"`

	// ReplayPolicy defines how fast a consumer catches up: Instant or Original.
	// +kubebuilder:validation:Enum=Instant;Original
	// +optional
	ReplayPolicy string `json:"replayPolicy,omitempty"`

	// RateLimitBPS will throttle delivery to the client in bits-per-second.
	// +optional
	RateLimitBPS uint64 `json:"rateLimitBPS,omitempty"`

	// SampleFrequency sets the percentage of acknowledgements that should be sampled for observability, "30" or "30%".
	// +optional
	SampleFrequency string `json:"sampleFrequency,omitempty"`

	// MaxAckPending is the maximum number of messages without an acknowledgement that can be outstanding.
	// +optional
	MaxAckPending int `json:"maxAckPending,omitempty"`

	// ConsumerType is Push or Pull.
	// +kubebuilder:validation:Enum=Push;Pull
	// +optional
	ConsumerType string `json:"consumerType,omitempty"`

	// FetchMaxWait is how long a pull waits for messages.
	// +optional
	FetchMaxWait metav1.Duration `json:"fetchMaxWait,omitempty,omitzero"`

	// FetchBatchSize is how many messages one pull asks for.
	// +optional
	FetchBatchSize int `json:"fetchBatchSize,omitempty"`
}

// DeploymentTemplate is what other implementations give the pods of a channel.
type DeploymentTemplate struct {
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty,omitzero"`

	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`
}

// NatsJetStreamChannelStatus is what is known about a NatsJetStreamChannel.
type NatsJetStreamChannelStatus struct {
	duck.ChannelableStatus `json:",inline"`
}

// NatsJetStreamChannelList is a list of NatsJetStreamChannels.
//
// +kubebuilder:object:root=true
type NatsJetStreamChannelList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []NatsJetStreamChannel `json:"items"`
}

const (
	// NatsJetStreamChannelConditionReady follows the others.
	NatsJetStreamChannelConditionReady = conditions.Ready
	// NatsJetStreamChannelConditionDispatcherReady is True when events are delivered.
	NatsJetStreamChannelConditionDispatcherReady conditions.Type = "DispatcherReady"
	// NatsJetStreamChannelConditionServiceReady is True when there is a Service for the dispatcher.
	NatsJetStreamChannelConditionServiceReady conditions.Type = "ServiceReady"
	// NatsJetStreamChannelConditionEndpointsReady is True when that Service has endpoints.
	NatsJetStreamChannelConditionEndpointsReady conditions.Type = "EndpointsReady"
	// NatsJetStreamChannelConditionAddressable is True when there is an address to send events to.
	NatsJetStreamChannelConditionAddressable conditions.Type = "Addressable"
	// NatsJetStreamChannelConditionChannelServiceReady is True when there is a Service for the channel.
	NatsJetStreamChannelConditionChannelServiceReady conditions.Type = "ChannelServiceReady"
	// NatsJetStreamChannelConditionStreamReady is True when the stream is there.
	NatsJetStreamChannelConditionStreamReady conditions.Type = "JetStreamReady"
	// NatsJetStreamChannelConditionDeadLetterSinkResolved is True when the dead letter sink has a URI, or there is none.
	NatsJetStreamChannelConditionDeadLetterSinkResolved conditions.Type = "DeadLetterSinkResolved"
	// NatsJetStreamChannelConditionEventPoliciesReady is True when all applying EventPolicies are, or there are none.
	NatsJetStreamChannelConditionEventPoliciesReady conditions.Type = "EventPoliciesReady"
)

var natsJetStreamChannelConditions = conditions.Living(
	NatsJetStreamChannelConditionDispatcherReady,
	NatsJetStreamChannelConditionServiceReady,
	NatsJetStreamChannelConditionEndpointsReady,
	NatsJetStreamChannelConditionAddressable,
	NatsJetStreamChannelConditionChannelServiceReady,
	NatsJetStreamChannelConditionStreamReady,
	NatsJetStreamChannelConditionDeadLetterSinkResolved,
	NatsJetStreamChannelConditionEventPoliciesReady,
)

// IsReady reports whether the NatsJetStreamChannel's latest spec is in effect.
func (n *NatsJetStreamChannel) IsReady() bool {
	return n.Status.ObservedGeneration == n.Generation && n.Status.GetCondition(NatsJetStreamChannelConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *NatsJetStreamChannelStatus) Mark(now metav1.Time) conditions.Manager {
	return natsJetStreamChannelConditions.Manage(&s.Status, now)
}
