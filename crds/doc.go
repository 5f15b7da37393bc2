// Package crds is the room of what users write: kinds, defaults, validation, ConfigMaps, and the manifests made from them.
//
//	conditions            the status every kind shares, and how Ready follows from the other conditions
//	serving, serving/v1   Service, Configuration, Revision, Route
//	serving/podspec       which fields of a pod a revision may set
//	serving/defaulting    what is filled in where users say nothing
//	serving/validation    what is refused, and why
//	networking, …/v1alpha1  KIngress
//	autoscaling, …/v1alpha1 autoscaling annotations, config-autoscaler, PodAutoscaler
//	duck                  what kinds of events share: destinations, delivery, sources, channels; ISO 8601 durations
//	eventing, …/v1, …     Broker, Trigger, EventType, EventPolicy, RequestReply, KafkaSink
//	messaging, …/v1, …    Channel, InMemoryChannel, KafkaChannel, NatsJetStreamChannel, Subscription
//	flows, …/v1           Sequence, Parallel
//	sources, …/v1, …      PingSource, CronJobSource, ApiServerSource, ContainerSource, SinkBinding, KafkaSource
//	sources/schedule      cron expressions and time zones
//	sinks, …/v1alpha1     JobSink
//	eventing/defaulting   what is filled in of all of these
//	eventing/validation   what of them is refused, and why
//	config                the other ConfigMaps of knative-serving, and those of knative-eventing
//	admission             all of it behind one function and one webhook
//	manifests             CustomResourceDefinitions and default ConfigMaps, embedded
//
// Hard rule: nothing here imports another room.
package crds

//go:generate go -C tools run . -root ../..
