package flow

import (
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/model"
)

// What spec.stream.config and spec.consumerConfigTemplate may name.
const (
	retentionInterest = "Interest"
	retentionWork     = "Work"
	discardNew        = "New"
	storageMemory     = "Memory"

	deliverLast            = "Last"
	deliverNew             = "New"
	deliverByStartSequence = "ByStartSequence"
	deliverByStartTime     = "ByStartTime"
	replayOriginal         = "Original"
)

// asked are fields of a spec that somebody has set, and what becomes of them.
type asked struct {
	// idle are those without effect, unserved those that would be missed.
	idle     []string
	unserved []error
}

// without notes a field that has no effect, and why nothing is missed.
func (a *asked) without(given bool, field, why string) {
	if given {
		a.idle = append(a.idle, field+": "+why)
	}
}

// refuse notes a field that is not served, and what to do.
func (a *asked) refuse(given bool, field, why string) {
	if given {
		a.unserved = append(a.unserved, fmt.Errorf("%s: %s", field, why))
	}
}

// mark states a condition of what has come of some fields.
func (a *asked) mark(marks conditions.Manager, t conditions.Type) {
	switch {
	case len(a.unserved) > 0:
		marks.MarkFalse(t, "NotServed", errors.Join(a.unserved...).Error())
	case len(a.idle) > 0:
		marks.MarkTrueWithReason(t, "FieldsWithoutEffect", strings.Join(a.idle, "; "))
	default:
		marks.MarkTrue(t)
	}
}

// NATSStreamOf is a NatsJetStreamChannel's stream: what its spec asks of it as far as the log does that. Events that somebody has still to
// read are never dropped, whatever the limits: they bound what is kept of the others.
func NATSStreamOf(c *messagingv1alpha1.NatsJetStreamChannel, clusterDomain string) model.Stream {
	out := channelStream(natsChannelKind, c, clusterDomain)
	config := c.Spec.Stream.Config
	if config == nil {
		return out
	}
	out.Limits.Age, out.Limits.Bytes, out.Limits.Event = config.MaxAge.Duration, config.MaxBytes, int64(config.MaxMsgSize)
	if config.Discard == discardNew {
		out.Limits.Unread = config.MaxBytes
	}
	if config.Retention == retentionInterest {
		// What everybody has read, and what came when nobody read, goes with the next sweep.
		out.Limits.Age = 1
	}
	if config.DuplicateWindow.Duration > 0 {
		out.Limits.Dedupe = config.DuplicateWindow.Duration
	}
	return out
}

// streamAsked says which fields of spec.stream have no effect, and which are not served.
func streamAsked(c *messagingv1alpha1.NatsJetStreamChannel) asked {
	var a asked
	a.without(c.Spec.Stream.OverrideName != "", "spec.stream.overrideName", "streams have names of Ebb's own")
	config := c.Spec.Stream.Config
	if config == nil {
		return a
	}
	const path = "spec.stream.config."
	a.without(config.Storage == storageMemory, path+"storage", "events are kept on disk all the same")
	a.without(config.NoAck, path+"noAck", "senders are answered all the same, once an event is stored")
	a.without(config.MaxMsgs > 0, path+"maxMsgs", "events are not counted; bound what is kept with maxBytes and maxAge")
	a.without(config.MaxConsumers > 0, path+"maxConsumers", "there may be any number of Subscriptions")
	a.refuse(config.Retention == retentionWork, path+"retention", "Work is not served; use Interest, which drops what all Subscriptions have had, or Limits")
	a.refuse(config.Replicas > 1, path+"replicas",
		fmt.Sprintf("%d copies are not made; leave it out, or replicate the streams in the NATS cluster that the broker is given", config.Replicas))
	a.refuse(config.Placement != nil, path+"placement", "streams are where the event log is; leave it out")
	a.refuse(config.Mirror != nil, path+"mirror", "events of other streams do not come here; leave it out and subscribe to the other channel")
	a.refuse(len(config.Sources) > 0, path+"sources", "events of other streams do not come here; leave it out and subscribe to the other channels")
	a.refuse(len(config.AdditionalSubjects) > 0, path+"additionalSubjects", "messages of other subjects do not come here; leave it out and send events to the channel's address")
	return a
}

// Consumers is what a channel's kind says of those who read it. Whatever a Subscription says itself wins.
type Consumers struct {
	Delivery duck.DeliverySpec
	// Start is where new ones begin, and Concurrency how many deliveries each has under way at once; zero is the default.
	Start       model.Start
	Concurrency int
	// Err is why nobody can read it as it asks for.
	Err error
}

// pace fills in what a Subscription's annotations do not say.
func (c Consumers) pace(r *model.Reader, annotations map[string]string) {
	if annotations[broker.StartKey] == "" {
		r.Start = c.Start
	}
	if r.Concurrency == 0 {
		r.Concurrency = c.Concurrency
	}
}

// ConsumersOf is what a NatsJetStreamChannel says of its readers. Without a word they begin with the oldest that is kept, as JetStream's do.
func ConsumersOf(c *messagingv1alpha1.NatsJetStreamChannel) Consumers {
	template := c.Spec.ConsumerConfigTemplate
	if template == nil {
		return Consumers{Start: model.Start{Earliest: true}}
	}
	out := Consumers{Concurrency: max(template.MaxAckPending, 0), Err: errors.Join(consumersAsked(c).unserved...)}
	switch template.DeliverPolicy {
	case deliverNew:
	case deliverLast:
		out.Start.Last = true
	case deliverByStartSequence:
		out.Start.Position = template.OptStartSeq
	case deliverByStartTime:
		out.Start.Since = ptr.Deref(template.OptStartTime, metav1.Time{}).UTC()
	default:
		out.Start.Earliest = true
	}
	if wait := template.AckWait.Duration; wait > 0 {
		out.Delivery.Timeout = ptr.To(duck.FormatDuration(wait))
	}
	if template.MaxDeliver > 0 {
		out.Delivery.Retry = ptr.To(int32(min(template.MaxDeliver-1, mostRetries)))
	}
	return out
}

// mostRetries bounds the attempts that maxDeliver asks for.
const mostRetries = 1 << 20

// consumersAsked says which fields of spec.consumerConfigTemplate have no effect, and which are not served.
func consumersAsked(c *messagingv1alpha1.NatsJetStreamChannel) asked {
	var a asked
	template := c.Spec.ConsumerConfigTemplate
	if template == nil {
		return a
	}
	const path = "spec.consumerConfigTemplate."
	a.without(template.ReplayPolicy == replayOriginal, path+"replayPolicy", "events are delivered as soon as they can be")
	a.without(template.RateLimitBPS > 0, path+"rateLimitBPS", "annotation "+broker.RateKey+" of a Subscription bounds its deliveries in a second")
	a.without(template.SampleFrequency != "", path+"sampleFrequency", "metrics count every delivery")
	a.refuse(template.FilterSubject != "", path+"filterSubject", "events have no subjects of NATS; leave it out and filter in a Trigger or a Parallel")
	a.refuse(template.DeliverPolicy == deliverByStartSequence && template.OptStartSeq == 0, path+"optStartSeq", "give the position that deliverPolicy ByStartSequence begins with")
	a.refuse(template.DeliverPolicy == deliverByStartTime && template.OptStartTime == nil, path+"optStartTime", "give the time that deliverPolicy ByStartTime begins with")
	return a
}

// NATSChannelInput is what the decision about a NatsJetStreamChannel is made of.
type NATSChannelInput struct {
	ChannelState
	Channel *messagingv1alpha1.NatsJetStreamChannel
}

// DecideNATSChannel returns a NatsJetStreamChannel's status. What it asks for and does not get is said there; events that come are stored all
// the same.
func DecideNATSChannel(in NATSChannelInput) messagingv1alpha1.NatsJetStreamChannelStatus {
	c := in.Channel
	out := *c.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = c.Generation
	marks.Initialize()
	marks.MarkTrue(messagingv1alpha1.NatsJetStreamChannelConditionServiceReady)
	marks.MarkTrue(messagingv1alpha1.NatsJetStreamChannelConditionEndpointsReady)
	consumers, stream := consumersAsked(c), streamAsked(c)
	consumers.mark(marks, messagingv1alpha1.NatsJetStreamChannelConditionDispatcherReady)
	if in.Stored != nil {
		marks.MarkFalse(messagingv1alpha1.NatsJetStreamChannelConditionStreamReady, "NotStored", in.Stored.Error())
	} else {
		stream.mark(marks, messagingv1alpha1.NatsJetStreamChannelConditionStreamReady)
	}
	in.state(marks, hostOf(natsChannelKind, nameOf(c)), &out.ChannelableStatus)
	out.Status.KeepTransitionTimes(&c.Status.Status)
	return out
}
