package admission

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/eventing/defaulting"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	eventingv1beta2 "ebb.dev/ebb/crds/eventing/v1beta2"
	eventingv1beta3 "ebb.dev/ebb/crds/eventing/v1beta3"
	"ebb.dev/ebb/crds/eventing/validation"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	servingvalidation "ebb.dev/ebb/crds/serving/validation"
	sinksv1alpha1 "ebb.dev/ebb/crds/sinks/v1alpha1"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	sourcesv1beta1 "ebb.dev/ebb/crds/sources/v1beta1"
)

var eventingKinds = map[schema.GroupVersionKind]judge{
	eventingv1.SchemeGroupVersion.WithKind("Broker"): event(eventingv1.SchemeGroupVersion.Group,
		func(o *eventingv1.Broker) any { return o.Spec }, defaulting.Broker, validation.Broker),
	eventingv1.SchemeGroupVersion.WithKind("Trigger"): event(eventingv1.SchemeGroupVersion.Group,
		func(o *eventingv1.Trigger) any { return o.Spec }, defaulting.Trigger, validation.Trigger),
	eventingv1beta2.SchemeGroupVersion.WithKind("EventType"): event(eventingv1beta2.SchemeGroupVersion.Group,
		func(o *eventingv1beta2.EventType) any { return o.Spec }, defaulting.EventTypeV1Beta2, validation.EventTypeV1Beta2),
	eventingv1beta3.SchemeGroupVersion.WithKind("EventType"): event(eventingv1beta3.SchemeGroupVersion.Group,
		func(o *eventingv1beta3.EventType) any { return o.Spec }, defaulting.EventType, validation.EventType),
	eventingv1alpha1.SchemeGroupVersion.WithKind("EventPolicy"): event(eventingv1alpha1.SchemeGroupVersion.Group,
		func(o *eventingv1alpha1.EventPolicy) any { return o.Spec }, defaulting.EventPolicy, validation.EventPolicy),
	eventingv1alpha1.SchemeGroupVersion.WithKind("RequestReply"): event(eventingv1alpha1.SchemeGroupVersion.Group,
		func(o *eventingv1alpha1.RequestReply) any { return o.Spec }, defaulting.RequestReply, validation.RequestReply),
	eventingv1alpha1.SchemeGroupVersion.WithKind("KafkaSink"): event(eventingv1alpha1.SchemeGroupVersion.Group,
		func(o *eventingv1alpha1.KafkaSink) any { return o.Spec }, defaulting.KafkaSink, validation.KafkaSink),
	messagingv1.SchemeGroupVersion.WithKind("Channel"): event(messagingv1.SchemeGroupVersion.Group,
		func(o *messagingv1.Channel) any { return o.Spec }, defaulting.Channel, validation.Channel),
	messagingv1.SchemeGroupVersion.WithKind("InMemoryChannel"): event(messagingv1.SchemeGroupVersion.Group,
		func(o *messagingv1.InMemoryChannel) any { return o.Spec }, defaulting.InMemoryChannel, validation.InMemoryChannel),
	messagingv1.SchemeGroupVersion.WithKind("Subscription"): event(messagingv1.SchemeGroupVersion.Group,
		func(o *messagingv1.Subscription) any { return o.Spec }, defaulting.Subscription, validation.Subscription),
	messagingv1beta1.SchemeGroupVersion.WithKind("KafkaChannel"): event(messagingv1beta1.SchemeGroupVersion.Group,
		func(o *messagingv1beta1.KafkaChannel) any { return o.Spec }, defaulting.KafkaChannel, validation.KafkaChannel),
	messagingv1alpha1.SchemeGroupVersion.WithKind("NatsJetStreamChannel"): event(messagingv1alpha1.SchemeGroupVersion.Group,
		func(o *messagingv1alpha1.NatsJetStreamChannel) any { return o.Spec }, defaulting.NatsJetStreamChannel, validation.NatsJetStreamChannel),
	flowsv1.SchemeGroupVersion.WithKind("Sequence"): event(flowsv1.SchemeGroupVersion.Group,
		func(o *flowsv1.Sequence) any { return o.Spec }, defaulting.Sequence, validation.Sequence),
	flowsv1.SchemeGroupVersion.WithKind("Parallel"): event(flowsv1.SchemeGroupVersion.Group,
		func(o *flowsv1.Parallel) any { return o.Spec }, defaulting.Parallel, validation.Parallel),
	sourcesv1.SchemeGroupVersion.WithKind("PingSource"): event(sourcesv1.SchemeGroupVersion.Group,
		func(o *sourcesv1.PingSource) any { return o.Spec }, defaulting.PingSource, validation.PingSource),
	sourcesv1.SchemeGroupVersion.WithKind("CronJobSource"): event(sourcesv1.SchemeGroupVersion.Group,
		func(o *sourcesv1.CronJobSource) any { return o.Spec }, defaulting.CronJobSource, validation.CronJobSource),
	sourcesv1.SchemeGroupVersion.WithKind("ApiServerSource"): event(sourcesv1.SchemeGroupVersion.Group,
		func(o *sourcesv1.ApiServerSource) any { return o.Spec }, defaulting.APIServerSource, validation.APIServerSource),
	sourcesv1.SchemeGroupVersion.WithKind("ContainerSource"): event(sourcesv1.SchemeGroupVersion.Group,
		func(o *sourcesv1.ContainerSource) any { return o.Spec }, defaulting.ContainerSource, validation.ContainerSource),
	sourcesv1.SchemeGroupVersion.WithKind("SinkBinding"): event(sourcesv1.SchemeGroupVersion.Group,
		func(o *sourcesv1.SinkBinding) any { return o.Spec }, defaulting.SinkBinding, validation.SinkBinding),
	sourcesv1.SchemeGroupVersion.WithKind("KafkaSource"): event(sourcesv1.SchemeGroupVersion.Group,
		func(o *sourcesv1.KafkaSource) any { return o.Spec }, defaulting.KafkaSource, validation.KafkaSource),
	sourcesv1beta1.SchemeGroupVersion.WithKind("KafkaSource"): event(sourcesv1beta1.SchemeGroupVersion.Group,
		func(o *sourcesv1beta1.KafkaSource) any { return o.Spec }, defaulting.KafkaSourceV1Beta1, validation.KafkaSourceV1Beta1),
	sinksv1alpha1.SchemeGroupVersion.WithKind("JobSink"): event(sinksv1alpha1.SchemeGroupVersion.Group,
		func(o *sinksv1alpha1.JobSink) any { return o.Spec }, defaulting.JobSink, validation.JobSink),
}

// event returns the judge of a kind that has to do with events. Who made an object and who changed it last is noted in annotations of
// its API group.
func event[T any, O interface {
	*T
	object
}](group string, spec func(O) any, complete func(changed, old O, in defaulting.Input), validate func(changed, old O, cfg *config.Eventing) validation.Result) judge {
	return rules[O]{
		make: func() O { return new(T) },
		spec: spec,
		complete: func(changed, old O, user string, cfg *config.Set) {
			complete(changed, old, defaulting.Input{Config: cfg.Eventing})
			meta := metav1.ObjectMeta{Annotations: changed.GetAnnotations()}
			if old == nil {
				defaulting.Sign(&meta, nil, nil, spec(changed), group, user)
			} else {
				defaulting.Sign(&meta, &metav1.ObjectMeta{Annotations: old.GetAnnotations()}, spec(old), spec(changed), group, user)
			}
			changed.SetAnnotations(meta.Annotations)
		},
		validate: func(changed, old O, cfg *config.Set) servingvalidation.Result {
			return servingvalidation.Result(validate(changed, old, cfg.Eventing))
		},
	}.judge
}
