package validation

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
)

// Channel validates c. old is the Channel it replaces, nil for a new one.
func Channel(c, old *messagingv1.Channel, cfg *config.Eventing) Result {
	var r Result
	r.template(c.Spec.ChannelTemplate, specPath.Child("channelTemplate"))
	if len(c.Spec.Subscribers) > 0 {
		r.add(field.Forbidden(specPath.Child("subscribers"), "must not be set: the channel that backs this one has them; make a Subscription"))
	}
	r.delivery(c.Spec.Delivery, cfg, specPath.Child("delivery"))
	if old != nil {
		r.immutable(old.Spec.ChannelTemplate, c.Spec.ChannelTemplate, specPath.Child("channelTemplate"), keepIt)
		r.immutable(old.Spec.Delivery, c.Spec.Delivery, specPath.Child("delivery"), keepIt)
	}
	return r
}

// InMemoryChannel validates c.
func InMemoryChannel(c, _ *messagingv1.InMemoryChannel, cfg *config.Eventing) Result {
	var r Result
	r.scope(&c.ObjectMeta)
	r.channelable(&c.Spec.ChannelableSpec, cfg)
	return r
}

// KafkaChannel validates c. old is the KafkaChannel it replaces, nil for a new one.
func KafkaChannel(c, old *messagingv1beta1.KafkaChannel, cfg *config.Eventing) Result {
	var r Result
	r.scope(&c.ObjectMeta)
	if c.Spec.NumPartitions < 1 {
		r.add(field.Invalid(specPath.Child("numPartitions"), c.Spec.NumPartitions, "must be at least 1"))
	}
	if c.Spec.ReplicationFactor < 1 {
		r.add(field.Invalid(specPath.Child("replicationFactor"), c.Spec.ReplicationFactor, "must be at least 1"))
	}
	r.duration(c.Spec.RetentionDuration, false, specPath.Child("retentionDuration"))
	r.channelable(&c.Spec.ChannelableSpec, cfg)
	if old != nil {
		r.immutable(old.Spec.NumPartitions, c.Spec.NumPartitions, specPath.Child("numPartitions"), keepIt)
		r.immutable(old.Spec.ReplicationFactor, c.Spec.ReplicationFactor, specPath.Child("replicationFactor"), keepIt)
		if old.Spec.RetentionDuration != "" {
			r.immutable(old.Spec.RetentionDuration, c.Spec.RetentionDuration, specPath.Child("retentionDuration"), keepIt)
		}
	}
	return r
}

// NatsJetStreamChannel validates c.
func NatsJetStreamChannel(c, _ *messagingv1alpha1.NatsJetStreamChannel, cfg *config.Eventing) Result {
	var r Result
	r.scope(&c.ObjectMeta)
	r.channelable(&c.Spec.ChannelableSpec, cfg)
	return r
}

func (r *Result) channelable(spec *duck.ChannelableSpec, cfg *config.Eventing) {
	r.delivery(spec.Delivery, cfg, specPath.Child("delivery"))
	for i, subscriber := range spec.Subscribers {
		if subscriber.SubscriberURI == nil && subscriber.ReplyURI == nil {
			r.add(field.Required(specPath.Child("subscribers").Index(i), "give subscriberUri, replyUri or both"))
		}
	}
}

// Subscription validates s. old is the Subscription it replaces, nil for a new one.
func Subscription(s, old *messagingv1.Subscription, cfg *config.Eventing) Result {
	var r Result
	path := specPath.Child("channel")
	if equality.Semantic.DeepEqual(s.Spec.Channel, duck.KReference{}) {
		r.add(field.Required(path, "name a channel by apiVersion, kind and name"))
	} else {
		r.reference(&s.Spec.Channel, cfg, path)
		if s.Spec.Channel.Namespace != "" {
			r.open(config.CrossNamespaceEventLinks, cfg, path.Child("namespace"))
		}
	}
	r.destination(s.Spec.Subscriber, cfg, specPath.Child("subscriber"))
	r.optional(s.Spec.Reply, cfg, specPath.Child("reply"))
	r.delivery(s.Spec.Delivery, cfg, specPath.Child("delivery"))
	r.paused(&s.ObjectMeta)
	if old != nil {
		r.immutable(old.Spec.Channel, s.Spec.Channel, path, keepIt)
	}
	return r
}

// maxSteps bounds a flow: every step is a channel and a Subscription.
const maxSteps = 1000

// Sequence validates s. old is the Sequence it replaces, nil for a new one.
func Sequence(s, old *flowsv1.Sequence, cfg *config.Eventing) Result {
	var r Result
	path := specPath.Child("steps")
	r.count(len(s.Spec.Steps), "step", path)
	for i := range s.Spec.Steps {
		r.destination(&s.Spec.Steps[i].Destination, cfg, path.Index(i))
		r.delivery(s.Spec.Steps[i].Delivery, cfg, path.Index(i).Child("delivery"))
	}
	r.template(s.Spec.ChannelTemplate, specPath.Child("channelTemplate"))
	r.optional(s.Spec.Reply, cfg, specPath.Child("reply"))
	if old != nil {
		r.immutable(old.Spec.ChannelTemplate, s.Spec.ChannelTemplate, specPath.Child("channelTemplate"), keepIt)
	}
	return r
}

// Parallel validates p. old is the Parallel it replaces, nil for a new one.
func Parallel(p, old *flowsv1.Parallel, cfg *config.Eventing) Result {
	var r Result
	path := specPath.Child("branches")
	r.count(len(p.Spec.Branches), "branch", path)
	for i := range p.Spec.Branches {
		branch := &p.Spec.Branches[i]
		r.optional(branch.Filter, cfg, path.Index(i).Child("filter"))
		r.destination(&branch.Subscriber, cfg, path.Index(i).Child("subscriber"))
		r.optional(branch.Reply, cfg, path.Index(i).Child("reply"))
		r.delivery(branch.Delivery, cfg, path.Index(i).Child("delivery"))
	}
	r.template(p.Spec.ChannelTemplate, specPath.Child("channelTemplate"))
	r.optional(p.Spec.Reply, cfg, specPath.Child("reply"))
	if old != nil {
		r.immutable(old.Spec.ChannelTemplate, p.Spec.ChannelTemplate, specPath.Child("channelTemplate"), keepIt)
	}
	return r
}

func (r *Result) count(n int, what string, path *field.Path) {
	switch {
	case n == 0:
		r.add(field.Required(path, "give at least one "+what))
	case n > maxSteps:
		r.add(field.Invalid(path, n, fmt.Sprintf("must be at most %d; split the flow", maxSteps)))
	}
}
