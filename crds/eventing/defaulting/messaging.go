package defaulting

import (
	"ebb.dev/ebb/crds/duck"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
)

// Channel completes c. old is the Channel it replaces, nil for a new one.
func Channel(c, old *messagingv1.Channel, in Input) {
	var before *duck.ChannelTemplateSpec
	if old != nil {
		before = old.Spec.ChannelTemplate
	}
	subscribable(&c.ObjectMeta)
	channelTemplate(&c.Spec.ChannelTemplate, before, c.Namespace, in)
	delivery(c.Spec.Delivery, c.Namespace)
}

// InMemoryChannel completes c.
func InMemoryChannel(c, _ *messagingv1.InMemoryChannel, _ Input) {
	subscribable(&c.ObjectMeta)
	delivery(c.Spec.Delivery, c.Namespace)
}

// KafkaChannel completes c.
func KafkaChannel(c, _ *messagingv1beta1.KafkaChannel, _ Input) {
	subscribable(&c.ObjectMeta)
	if c.Spec.NumPartitions == 0 {
		c.Spec.NumPartitions = 1
	}
	if c.Spec.ReplicationFactor == 0 {
		c.Spec.ReplicationFactor = 1
	}
	if c.Spec.RetentionDuration == "" {
		c.Spec.RetentionDuration = "PT168H"
	}
	delivery(c.Spec.Delivery, c.Namespace)
}

// NatsJetStreamChannel completes c.
func NatsJetStreamChannel(c, _ *messagingv1alpha1.NatsJetStreamChannel, _ Input) {
	subscribable(&c.ObjectMeta)
	delivery(c.Spec.Delivery, c.Namespace)
}

// Subscription completes s.
func Subscription(s, _ *messagingv1.Subscription, _ Input) {
	destination(s.Spec.Subscriber, s.Namespace)
	destination(s.Spec.Reply, s.Namespace)
	delivery(s.Spec.Delivery, s.Namespace)
}

// Sequence completes s. old is the Sequence it replaces, nil for a new one.
func Sequence(s, old *flowsv1.Sequence, in Input) {
	var before *duck.ChannelTemplateSpec
	if old != nil {
		before = old.Spec.ChannelTemplate
	}
	channelTemplate(&s.Spec.ChannelTemplate, before, s.Namespace, in)
	for i := range s.Spec.Steps {
		destination(&s.Spec.Steps[i].Destination, s.Namespace)
		delivery(s.Spec.Steps[i].Delivery, s.Namespace)
	}
	destination(s.Spec.Reply, s.Namespace)
}

// Parallel completes p. old is the Parallel it replaces, nil for a new one.
func Parallel(p, old *flowsv1.Parallel, in Input) {
	var before *duck.ChannelTemplateSpec
	if old != nil {
		before = old.Spec.ChannelTemplate
	}
	channelTemplate(&p.Spec.ChannelTemplate, before, p.Namespace, in)
	for i := range p.Spec.Branches {
		branch := &p.Spec.Branches[i]
		destination(branch.Filter, p.Namespace)
		destination(&branch.Subscriber, p.Namespace)
		destination(branch.Reply, p.Namespace)
		delivery(branch.Delivery, p.Namespace)
	}
	destination(p.Spec.Reply, p.Namespace)
}
