package flow

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/duck"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	"ebb.dev/ebb/eventing/policy"
)

// SequenceChildren are what a Sequence is made of: a channel for each step and a Subscription that leads from it through the step into the
// next channel.
func SequenceChildren(s *flowsv1.Sequence) (Children, error) {
	m := maker{owner: metav1.NewControllerRef(s, sequenceKind), namespace: s.Namespace, template: s.Spec.ChannelTemplate}
	name := func(step int) string { return sequenceChild(s.Name, step) }
	channels := make([]duck.KReference, 0, len(s.Spec.Steps))
	for i := range s.Spec.Steps {
		channels = append(channels, m.channel(name(i)))
	}
	for i, step := range s.Spec.Steps {
		reply := s.Spec.Reply
		if i < len(channels)-1 {
			reply = into(channels[i+1])
		}
		m.subscription(name(i), messagingv1.SubscriptionSpec{
			Channel: channels[i], Subscriber: &step.Destination, Reply: reply, Delivery: step.Delivery,
		})
	}
	return m.children, m.err
}

// SequenceInput is what the decision about a Sequence is made of.
type SequenceInput struct {
	Sequence *flowsv1.Sequence
	// Channels and Subscriptions are its children, in the order of its steps.
	Channels, Subscriptions []Child
	// Err is why it cannot have children; nil if it can.
	Err error
	// Applied are the EventPolicies that apply to it.
	Applied policy.Applied
	Now     time.Time
}

// DecideSequence returns a Sequence's status.
func DecideSequence(in SequenceInput) flowsv1.SequenceStatus {
	s := in.Sequence
	out := *s.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = s.Generation
	marks.Initialize()
	out.ChannelStatuses, out.SubscriptionStatuses = nil, nil
	for _, c := range in.Channels {
		out.ChannelStatuses = append(out.ChannelStatuses, c.channel())
	}
	for _, c := range in.Subscriptions {
		out.SubscriptionStatuses = append(out.SubscriptionStatuses, c.subscription())
	}
	const none = "there are no steps"
	if why := whole(in.Channels, in.Err, none); why != "" {
		marks.MarkUnknown(flowsv1.SequenceConditionChannelsReady, "ChannelsNotReady", why)
	} else {
		marks.MarkTrue(flowsv1.SequenceConditionChannelsReady)
	}
	if why := whole(in.Subscriptions, in.Err, none); why != "" {
		marks.MarkUnknown(flowsv1.SequenceConditionSubscriptionsReady, "SubscriptionsNotReady", why)
	} else {
		marks.MarkTrue(flowsv1.SequenceConditionSubscriptionsReady)
	}
	out.AddressStatus = duck.AddressStatus{}
	if len(in.Channels) > 0 {
		out.Address = addressOf(in.Channels[0])
	}
	if out.Address == nil {
		marks.MarkUnknown(flowsv1.SequenceConditionAddressable, "emptyAddress", "the first channel has no address yet")
	} else {
		marks.MarkTrue(flowsv1.SequenceConditionAddressable)
	}
	// Its address is that of its first channel, and has that one's audience.
	in.Applied.State(marks, flowsv1.SequenceConditionEventPoliciesReady, &out.AppliedEventPoliciesStatus, &duck.AddressStatus{})
	out.Auth = senders(in.Subscriptions)
	out.Status.KeepTransitionTimes(&s.Status.Status)
	return out
}

// whole says why not all children are ready, or "".
func whole(children []Child, err error, none string) string {
	switch {
	case err != nil:
		return err.Error()
	case len(children) == 0:
		return none
	}
	return unready(children)
}

// addressOf is where a flow takes events: where its first channel does.
func addressOf(c Child) *duck.Addressable {
	if c.Err != nil || c.Address == nil || c.Address.URL == "" {
		return nil
	}
	return c.Address.DeepCopy()
}
