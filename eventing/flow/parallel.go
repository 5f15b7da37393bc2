package flow

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/duck"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/policy"
)

// ParallelChildren are what a Parallel is made of: a channel that takes events, first, and for each branch a channel of what its filter
// lets pass, a Subscription through the filter into it, and one from it through the subscriber. The Subscriptions of all filters come
// first, then those of all subscribers.
func ParallelChildren(p *flowsv1.Parallel) (Children, error) {
	m := maker{owner: metav1.NewControllerRef(p, parallelKind), namespace: p.Namespace, template: p.Spec.ChannelTemplate}
	name := parallelChild(p.Name)
	ingress := m.channel(name)
	channels := make([]duck.KReference, 0, len(p.Spec.Branches))
	for i := range p.Spec.Branches {
		channels = append(channels, m.channel(fmt.Sprintf("%s-%d", name, i)))
	}
	for i, branch := range p.Spec.Branches {
		spec := messagingv1.SubscriptionSpec{Channel: ingress, Subscriber: branch.Filter, Reply: into(channels[i])}
		if !destination.Given(branch.Filter) {
			// A Subscription has to have a subscriber: without a filter it is the branch's channel itself.
			spec.Subscriber, spec.Reply = spec.Reply, nil
		}
		m.subscription(fmt.Sprintf("%s-filter-%d", name, i), spec)
	}
	for i, branch := range p.Spec.Branches {
		reply := branch.Reply
		if !destination.Given(reply) {
			reply = p.Spec.Reply
		}
		m.subscription(fmt.Sprintf("%s-%d", name, i), messagingv1.SubscriptionSpec{
			Channel: channels[i], Subscriber: &branch.Subscriber, Reply: reply, Delivery: branch.Delivery,
		})
	}
	return m.children, m.err
}

// ParallelInput is what the decision about a Parallel is made of.
type ParallelInput struct {
	Parallel *flowsv1.Parallel
	// Channels and Subscriptions are its children, in the order of ParallelChildren.
	Channels, Subscriptions []Child
	// Err is why it cannot have children; nil if it can.
	Err error
	// Applied are the EventPolicies that apply to it.
	Applied policy.Applied
	Now     time.Time
}

// DecideParallel returns a Parallel's status.
func DecideParallel(in ParallelInput) flowsv1.ParallelStatus {
	p := in.Parallel
	out := *p.Status.DeepCopy()
	marks := out.Mark(metav1.NewTime(in.Now))
	out.ObservedGeneration = p.Generation
	marks.Initialize()
	out.IngressChannelStatus, out.BranchStatuses, out.AddressStatus = flowsv1.ChannelStatus{}, nil, duck.AddressStatus{}
	if len(in.Channels) > 0 {
		out.IngressChannelStatus, out.Address = in.Channels[0].channel(), addressOf(in.Channels[0])
	}
	if n := len(p.Spec.Branches); len(in.Channels) == n+1 && len(in.Subscriptions) == 2*n {
		for i := range n {
			out.BranchStatuses = append(out.BranchStatuses, flowsv1.ParallelBranchStatus{
				FilterChannelStatus:      in.Channels[i+1].channel(),
				FilterSubscriptionStatus: in.Subscriptions[i].subscription(),
				SubscriptionStatus:       in.Subscriptions[n+i].subscription(),
			})
		}
	}
	const none = "there are no branches"
	if why := whole(in.Channels, in.Err, none); why != "" {
		marks.MarkFalse(flowsv1.ParallelConditionChannelsReady, "ChannelsNotReady", why)
	} else {
		marks.MarkTrue(flowsv1.ParallelConditionChannelsReady)
	}
	if why := whole(in.Subscriptions, in.Err, none); why != "" {
		marks.MarkFalse(flowsv1.ParallelConditionSubscriptionsReady, "SubscriptionsNotReady", why)
	} else {
		marks.MarkTrue(flowsv1.ParallelConditionSubscriptionsReady)
	}
	if out.Address == nil {
		marks.MarkFalse(flowsv1.ParallelConditionAddressable, "emptyAddress", "the ingress channel has no address yet")
	} else {
		marks.MarkTrue(flowsv1.ParallelConditionAddressable)
	}
	// Its address is that of its first channel, and has that one's audience.
	in.Applied.State(marks, flowsv1.ParallelConditionEventPoliciesReady, &out.AppliedEventPoliciesStatus, &duck.AddressStatus{})
	out.Auth = senders(in.Subscriptions)
	out.Status.KeepTransitionTimes(&p.Status.Status)
	return out
}
