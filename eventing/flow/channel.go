package flow

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/policy"
)

// hostOf is the Service by whose names a channel of a kind is reached: the one that it has with Knative.
func hostOf(kind schema.GroupVersionKind, channel types.NamespacedName) types.NamespacedName {
	suffix := "-kn-channel"
	if kind == natsChannelKind {
		suffix = "-kn-jsm-channel"
	}
	return types.NamespacedName{Namespace: channel.Namespace, Name: channel.Name + suffix}
}

func nameOf(c metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: c.GetNamespace(), Name: c.GetName()}
}

// StreamOf is an InMemoryChannel's stream.
func StreamOf(c *messagingv1.InMemoryChannel, clusterDomain string) model.Stream {
	return channelStream(inMemoryChannelKind, c, clusterDomain)
}

// channelStream is the stream of a channel of any kind.
func channelStream(kind schema.GroupVersionKind, c metav1.Object, clusterDomain string) model.Stream {
	return model.Stream{
		ID: StreamID(c.GetUID()), Kind: model.Channel, Key: nameOf(c), Hosts: exposure.Hosts(hostOf(kind, nameOf(c)), clusterDomain), Limits: broker.Limits,
	}
}

// StreamID is the stream of a channel of any kind that keeps its events.
func StreamID(channel types.UID) model.StreamID { return model.StreamID("channel." + channel) }

// ExposureOf is what makes Envoy lead from a channel's names to the ingress: gateway is the DNS name of the internal gateway.
func ExposureOf(kind schema.GroupVersionKind, c metav1.Object, gateway, clusterDomain string) (*corev1.Service, *networking.Ingress) {
	host, owner := hostOf(kind, nameOf(c)), *metav1.NewControllerRef(c, kind)
	backend := types.NamespacedName{Namespace: exposure.Namespace, Name: exposure.Backend}
	return exposure.Placeholder(host, exposure.Channel, gateway, owner),
		exposure.Route(host, exposure.Channel, exposure.Hosts(host, clusterDomain), nil, backend, owner)
}

// ChannelState is what the decision about a channel that keeps events is made of.
type ChannelState struct {
	// Stored is why events cannot be stored, Exposed why its Service or its route could not be made; nil if all is well.
	Stored, Exposed error
	// Reached says that the gateways lead to the channel; otherwise why not.
	Reached bool
	Why     string
	// DeadLetter is what spec.delivery.deadLetterSink resolved to.
	DeadLetter destination.Found
	// Subscriptions are those that read the channel, in any order.
	Subscriptions []messagingv1.Subscription
	// Applied are the EventPolicies that apply to it.
	Applied       policy.Applied
	ClusterDomain string
	Now           time.Time
}

// InMemoryChannelInput is what the decision about an InMemoryChannel is made of.
type InMemoryChannelInput struct {
	ChannelState
	Channel *messagingv1.InMemoryChannel
}

// DecideInMemoryChannel returns an InMemoryChannel's status.
func DecideInMemoryChannel(in InMemoryChannelInput) messagingv1.InMemoryChannelStatus {
	c := in.Channel
	out := *c.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = c.Generation
	marks.Initialize()
	marks.MarkTrue(messagingv1.InMemoryChannelConditionServiceReady)
	if in.Stored != nil {
		marks.MarkFalse(messagingv1.InMemoryChannelConditionDispatcherReady, "NotStored", in.Stored.Error())
		marks.MarkFalse(messagingv1.InMemoryChannelConditionEndpointsReady, "NotStored", in.Stored.Error())
	} else {
		marks.MarkTrue(messagingv1.InMemoryChannelConditionDispatcherReady)
		marks.MarkTrue(messagingv1.InMemoryChannelConditionEndpointsReady)
	}
	in.state(marks, hostOf(inMemoryChannelKind, nameOf(c)), &out.ChannelableStatus)
	out.Status.KeepTransitionTimes(&c.Status.Status)
	return out
}

// state says in a status what channels of all kinds say alike: their conditions have the same names. host is the Service by whose names the
// channel is reached.
func (in ChannelState) state(marks conditions.Manager, host types.NamespacedName, out *duck.ChannelableStatus) {
	out.Address, out.Addresses = nil, nil
	if in.Exposed != nil {
		marks.MarkFalse(messagingv1.InMemoryChannelConditionAddressable, "emptyHostname", "the channel has no Service")
	} else {
		out.Address = &duck.Addressable{Name: ptr.To("http"), URL: "http://" + exposure.Hosts(host, in.ClusterDomain)[0]}
		marks.MarkTrue(messagingv1.InMemoryChannelConditionAddressable)
	}
	switch {
	case in.Exposed != nil:
		marks.MarkFalse(messagingv1.InMemoryChannelConditionChannelServiceReady, "ChannelServiceFailed", in.Exposed.Error())
	case !in.Reached:
		marks.MarkUnknown(messagingv1.InMemoryChannelConditionChannelServiceReady, "RouteNotReady", in.Why)
	default:
		marks.MarkTrue(messagingv1.InMemoryChannelConditionChannelServiceReady)
	}
	in.DeadLetter.StateDeadLetters(marks, messagingv1.InMemoryChannelConditionDeadLetterSinkResolved, &out.DeliveryStatus)
	in.Applied.State(marks, messagingv1.InMemoryChannelConditionEventPoliciesReady, &out.AppliedEventPoliciesStatus, &out.AddressStatus)
	out.Subscribers = subscribers(in.Subscriptions)
}

// subscribers says how each reader is, in an order that does not change while the Subscriptions do not.
func subscribers(subscriptions []messagingv1.Subscription) []duck.SubscriberStatus {
	var out []duck.SubscriberStatus
	for i := range subscriptions {
		s := &subscriptions[i]
		one := duck.SubscriberStatus{UID: s.UID, ObservedGeneration: s.Status.ObservedGeneration, Ready: corev1.ConditionTrue}
		for _, t := range []conditions.Type{messagingv1.SubscriptionConditionReferencesResolved, messagingv1.SubscriptionConditionAddedToChannel} {
			if c := s.Status.GetCondition(t); !c.IsTrue() {
				one.Ready, one.Message = corev1.ConditionFalse, fmt.Sprintf("Subscription %s/%s is not subscribed yet", s.Namespace, s.Name)
				if c != nil && c.Message != "" {
					one.Message = c.Message
				}
				break
			}
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b duck.SubscriberStatus) int { return strings.Compare(string(a.UID), string(b.UID)) })
	return out
}

// ChannelInput is what the decision about a Channel is made of.
type ChannelInput struct {
	Channel *messagingv1.Channel
	// Backing is the channel that backs it; nil if there is none yet.
	Backing *Channelable
	// Err is why there is none.
	Err error
	Now time.Time
}

// DecideChannel returns a Channel's status: that of the channel that backs it.
func DecideChannel(in ChannelInput) messagingv1.ChannelStatus {
	c := in.Channel
	out := *c.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = c.Generation
	marks.Initialize()
	backing := in.Backing
	if backing == nil {
		backing, out.Channel = &Channelable{}, nil
	} else {
		out.Channel = ptr.To(backing.Reference())
	}
	s := backing.Status.DeepCopy()
	out.AddressStatus, out.SubscribableStatus, out.DeliveryStatus = s.AddressStatus, s.SubscribableStatus, s.DeliveryStatus
	out.AppliedEventPoliciesStatus = s.AppliedEventPoliciesStatus
	switch {
	case in.Err != nil:
		marks.MarkFalse(messagingv1.ChannelConditionBackingChannelReady, "ChannelFailure", in.Err.Error())
	case backing.Ready() == nil:
		marks.MarkUnknown(messagingv1.ChannelConditionBackingChannelReady, "BackingChannelNotConfigured", "BackingChannel has not yet been reconciled.")
	default:
		marks.Copy(messagingv1.ChannelConditionBackingChannelReady, backing.Ready())
	}
	if out.Address == nil || out.Address.URL == "" {
		marks.MarkFalse(messagingv1.ChannelConditionAddressable, "EmptyHostname", "the channel that backs it has no address yet")
	} else {
		marks.MarkTrue(messagingv1.ChannelConditionAddressable)
	}
	mirror(marks, s, messagingv1.ChannelConditionDeadLetterSinkResolved,
		eventing.ReasonDeadLetterSinkNotConfigured, eventing.MessageDeadLetterSinkNotConfigured)
	mirror(marks, s, messagingv1.ChannelConditionEventPoliciesReady, "DefaultAuthorizationMode", broker.PoliciesMessage)
	out.Status.KeepTransitionTimes(&c.Status.Status)
	return out
}

// mirror says of t what the backing channel says; of a kind that says nothing about it, that it is True for the reason given.
func mirror(marks conditions.Manager, from *duck.ChannelableStatus, t conditions.Type, reason, message string) {
	switch c := from.GetCondition(t); {
	case c == nil:
		marks.MarkTrueWithReason(t, reason, message)
	case c.IsTrue():
		marks.MarkTrueWithReason(t, c.Reason, c.Message)
	default:
		marks.Copy(t, c)
	}
}
