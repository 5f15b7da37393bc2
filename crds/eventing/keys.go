package eventing

const (
	// GroupName is the API group of Broker, Trigger, EventType, EventPolicy, RequestReply and KafkaSink.
	GroupName = "eventing.knative.dev"
	// SystemNamespace is where the ConfigMaps live.
	SystemNamespace = "knative-eventing"
	// BackendService is the Service in SystemNamespace where events of Brokers and Channels are taken.
	BackendService = "ebb-events"
)

// Classes of Brokers, values of BrokerClassAnnotationKey.
const (
	// MTChannelBrokerClass is Knative's default class. Ebb serves it with its default log.
	MTChannelBrokerClass = "MTChannelBasedBroker"
	// KafkaBrokerClass keeps events in Kafka topics.
	KafkaBrokerClass = "Kafka"
	// KafkaNamespacedBrokerClass is KafkaBrokerClass with a data plane in each namespace, which Ebb does not need.
	KafkaNamespacedBrokerClass = "KafkaNamespaced"
	// NatsJetStreamBrokerClass keeps events in JetStream streams.
	NatsJetStreamBrokerClass = "NatsJetStreamBroker"
)

// Annotations that users write.
const (
	// BrokerClassAnnotationKey, on a Broker, says who serves it. It cannot be changed.
	BrokerClassAnnotationKey = GroupName + "/broker.class"
	// InjectionAnnotationKey, on a Trigger, makes the Broker default of its namespace with the value "enabled". As a label on a
	// namespace it does so there.
	InjectionAnnotationKey = GroupName + "/injection"
	// DependencyAnnotationKey, on a Trigger, is an object reference as JSON: the Trigger is ready when that object is.
	DependencyAnnotationKey = "knative.dev/dependency"
	// DeliveryTimeoutAnnotationKey, on a Trigger, fills in its delivery.timeout: a duration such as 30m or PT30M.
	DeliveryTimeoutAnnotationKey = GroupName + "/delivery.timeout"
	// ScopeAnnotationKey says whether what serves an object is the namespace's own, ScopeNamespace, or the cluster's, ScopeCluster.
	ScopeAnnotationKey = GroupName + "/scope"
	// CreatorAnnotationKey is the user who created the resource. It never changes.
	CreatorAnnotationKey = GroupName + "/creator"
	// LastModifierAnnotationKey is the user who last changed the spec.
	LastModifierAnnotationKey = GroupName + "/lastModifier"
	// SubscribableAnnotationKey, on a channel, is the version of the subscribable shape that it has, SubscribableVersion.
	SubscribableAnnotationKey = "messaging.knative.dev/subscribable"
	// KafkaDeliveryOrderAnnotationKey, on a Trigger of a Kafka Broker, is ordered or unordered.
	KafkaDeliveryOrderAnnotationKey = "kafka.eventing.knative.dev/delivery.order"
	// PausedAnnotationKey, on a Trigger or a Subscription, stops deliveries with the value "true": it keeps its place, and what comes in
	// meanwhile waits.
	PausedAnnotationKey = "eventing.ebb.dev/paused"
	// KafkaExternalTopicAnnotationKey, on a Kafka Broker, names a topic that is there already.
	KafkaExternalTopicAnnotationKey = "kafka.eventing.knative.dev/external.topic"
)

// Values of annotations.
const (
	ScopeNamespace      = "namespace"
	ScopeCluster        = "cluster"
	SubscribableVersion = "v1"
	InjectionEnabled    = "enabled"
	InjectionDisabled   = "disabled"
)

// Labels that the system puts on what it makes.
const (
	// BrokerLabelKey names the Broker that a Trigger or another child belongs to.
	BrokerLabelKey = GroupName + "/broker"
	// ChannelLabelKey names the channel that a Service stands for.
	ChannelLabelKey = "messaging.knative.dev/channel"
)

// DefaultBroker is the name of the Broker of a Trigger that names none.
const DefaultBroker = "default"

// Reasons and messages of conditions that several kinds state.
const (
	// ReasonDeadLetterSinkNotConfigured is that of a True DeadLetterSinkResolved without a sink.
	ReasonDeadLetterSinkNotConfigured  = "DeadLetterSinkNotConfigured"
	MessageDeadLetterSinkNotConfigured = "No dead letter sink is configured."
)
