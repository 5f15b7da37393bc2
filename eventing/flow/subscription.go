package flow

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/model"
)

// readerPrefix begins the name of a Subscription's reader, before its UID.
const readerPrefix = "subscription."

// ReaderIDOf is a Subscription's reader.
func ReaderIDOf(s *messagingv1.Subscription) model.ReaderID {
	return model.ReaderID(readerPrefix + s.UID)
}

// SubscriptionInput is what the decision about a Subscription is made of.
type SubscriptionInput struct {
	Subscription *messagingv1.Subscription
	// Channel is the one that keeps events and that it reads in the end; nil if there is none, and NoChannel says why.
	Channel   *Channelable
	NoChannel error
	// Subscriber and Reply are what those of the spec resolved to.
	Subscriber, Reply destination.Found
	// DeadLetter is what its own dead letter sink resolved to, or else its channel's.
	DeadLetter destination.Found
	// Sender is as whom it sends.
	Sender identity.Sender
	Now    time.Time
}

// SubscriptionDecision is what becomes of a Subscription.
type SubscriptionDecision struct {
	// Reader is nil where there is no channel of ours to read.
	Reader *model.Reader
	Status messagingv1.SubscriptionStatus
}

// DecideSubscription returns what a Subscription needs.
func DecideSubscription(in SubscriptionInput) SubscriptionDecision {
	s := in.Subscription
	d := SubscriptionDecision{Status: *s.Status.DeepCopy()}
	marks := d.Status.Mark(metav1.NewTime(in.Now))
	d.Status.ObservedGeneration = s.Generation
	marks.Initialize()
	in.Sender.State(marks, messagingv1.SubscriptionConditionOIDCIdentityCreated, &d.Status.Auth)
	d.Status.PhysicalSubscription = physical(in)
	reason, err := unresolved(in)
	if err != nil {
		marks.MarkFalse(messagingv1.SubscriptionConditionReferencesResolved, reason, err.Error())
	} else {
		marks.MarkTrue(messagingv1.SubscriptionConditionReferencesResolved)
	}
	d.channel(in, marks)
	d.reader(in, err == nil, marks)
	d.Status.Status.KeepTransitionTimes(&s.Status.Status)
	return d
}

// NotReading says in the status why the reader could not be started.
func (d *SubscriptionDecision) NotReading(s *messagingv1.Subscription, err error, now time.Time) {
	d.Status.Mark(metav1.NewTime(now)).MarkFalse(messagingv1.SubscriptionConditionAddedToChannel, "NotSubscribed", err.Error())
	d.Status.Status.KeepTransitionTimes(&s.Status.Status)
}

// physical is what the Subscription's destinations are, as far as they are known.
func physical(in SubscriptionInput) messagingv1.SubscriptionStatusPhysicalSubscription {
	var out messagingv1.SubscriptionStatusPhysicalSubscription
	set := func(found destination.Found, uri, certificates, audience **string) {
		if found.Err == nil && found.URL != "" {
			*uri, *certificates, *audience = &found.URL, found.CACerts, found.Audience
		}
	}
	set(in.Subscriber, &out.SubscriberURI, &out.SubscriberCACerts, &out.SubscriberAudience)
	set(in.Reply, &out.ReplyURI, &out.ReplyCACerts, &out.ReplyAudience)
	set(in.DeadLetter, &out.DeadLetterSinkURI, &out.DeadLetterSinkCACerts, &out.DeadLetterSinkAudience)
	return out
}

// unresolved returns the first of a Subscription's references that leads nowhere.
func unresolved(in SubscriptionInput) (reason string, err error) {
	if in.Channel == nil {
		return "ChannelReferenceFailed", fmt.Errorf("spec.channel: %w", cmp.Or(in.NoChannel, errNoChannel))
	}
	for _, one := range []struct {
		reason, field string
		found         destination.Found
	}{
		{"SubscriberResolveFailed", "spec.subscriber", in.Subscriber},
		{"ReplyResolveFailed", "spec.reply", in.Reply},
		{"DeadLetterSinkResolveFailed", "dead letter sink", in.DeadLetter},
	} {
		if one.found.Err != nil {
			return one.reason, fmt.Errorf("%s: %w", one.field, one.found.Err)
		}
	}
	if in.Subscriber.URL == "" && in.Reply.URL == "" {
		return "SubscriberResolveFailed", errors.New("spec.subscriber: there is neither a subscriber nor a reply; give one")
	}
	return "", nil
}

// errNoChannel is what is said of a channel that is missing for no reason that is known.
var errNoChannel = errors.New("the channel does not exist")

func (d *SubscriptionDecision) channel(in SubscriptionInput, marks conditions.Manager) {
	switch {
	case in.Channel == nil:
		marks.MarkUnknown(messagingv1.SubscriptionConditionChannelReady, "ChannelReferenceFailed", cmp.Or(in.NoChannel, errNoChannel).Error())
	case in.Channel.Ready() == nil:
		marks.MarkUnknown(messagingv1.SubscriptionConditionChannelReady, "ChannelNotReconciled", "the channel has no condition Ready yet")
	default:
		marks.Copy(messagingv1.SubscriptionConditionChannelReady, in.Channel.Ready())
	}
}

// unsaid is the delivery where neither a Subscription nor its channel says a word of it: what Triggers have by default. Who says something
// gets that, and Knative's default for the rest: no retries.
func unsaid(in SubscriptionInput) *duck.DeliverySpec {
	if in.Subscription.Spec.Delivery != nil || in.Channel.Spec.Delivery != nil {
		return nil
	}
	return config.DefaultDelivery()
}

// reader makes the Subscription's reader. Where something is wrong with it, it has no subscriber and stays where it is.
func (d *SubscriptionDecision) reader(in SubscriptionInput, resolved bool, marks conditions.Manager) {
	s := in.Subscription
	if in.Channel == nil {
		marks.MarkUnknown(messagingv1.SubscriptionConditionAddedToChannel, "ChannelReferenceFailed", "there is nothing to read")
		return
	}
	r := &model.Reader{
		ID: ReaderIDOf(s), Kind: model.Subscription, Key: types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, Stream: StreamID(in.Channel.UID),
		As: in.Sender.Account, Begun: s.Status.GetCondition(messagingv1.SubscriptionConditionAddedToChannel).IsTrue(),
	}
	d.Reader = r
	delivery, err := broker.DeliveryOf(s.Spec.Delivery, in.Channel.Spec.Delivery, &in.Channel.Consumers.Delivery, unsaid(in))
	r.Delivery = delivery
	err = errors.Join(err, broker.Pace(r, s.Annotations), in.Channel.Consumers.Err)
	in.Channel.Consumers.pace(r, s.Annotations)
	if in.DeadLetter.Err == nil {
		r.Delivery.DeadLetter = in.DeadLetter.Destination()
	}
	if err != nil {
		marks.MarkFalse(messagingv1.SubscriptionConditionAddedToChannel, "NotSubscribed", err.Error())
		r.Paused = true
		return
	}
	marks.MarkTrue(messagingv1.SubscriptionConditionAddedToChannel)
	if r.Paused {
		broker.StatePaused(marks, messagingv1.SubscriptionConditionAddedToChannel)
	}
	switch {
	case !resolved:
	case in.Subscriber.URL == "":
		// Nobody answers, so the events themselves go on to where answers would.
		r.Subscriber = in.Reply.Destination()
	default:
		r.Subscriber, r.Reply = in.Subscriber.Destination(), in.Reply.Destination()
	}
}
