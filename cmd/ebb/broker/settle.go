package broker

import (
	"context"
	"fmt"
	"time"

	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	brokers "ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/flow"
	"ebb.dev/ebb/eventing/model"
)

// settleWithin bounds how long the ingress says "not yet" of what it does not know after a start.
const settleWithin = 30 * time.Second

// expect names the ingress what was ready before this process began: until its controllers have brought all of that, what is not found may
// come yet, and a sender must not be told that it does not exist.
func (p *process) expect(ctx context.Context) error {
	var ids []model.StreamID
	var brokerList eventingv1.BrokerList
	var channels messagingv1.InMemoryChannelList
	var nats messagingv1alpha1.NatsJetStreamChannelList
	var kafka messagingv1beta1.KafkaChannelList
	c := p.manager.GetClient()
	if err := c.List(ctx, &brokerList); err != nil {
		return fmt.Errorf("list Brokers: %w", err)
	}
	for i := range brokerList.Items {
		if b := &brokerList.Items[i]; b.Status.GetCondition(eventingv1.BrokerConditionReady).IsTrue() {
			ids = append(ids, brokers.StreamOf(b).ID)
		}
	}
	if err := c.List(ctx, &channels); err != nil {
		return fmt.Errorf("list InMemoryChannels: %w", err)
	}
	for i := range channels.Items {
		if ch := &channels.Items[i]; ch.Status.GetCondition(messagingv1.InMemoryChannelConditionReady).IsTrue() {
			ids = append(ids, flow.StreamID(ch.UID))
		}
	}
	if err := c.List(ctx, &nats); err != nil {
		return fmt.Errorf("list NatsJetStreamChannels: %w", err)
	}
	for i := range nats.Items {
		// One that is not ready, because of what is not served, takes events too.
		if ch := &nats.Items[i]; ch.Status.Address != nil {
			ids = append(ids, flow.StreamID(ch.UID))
		}
	}
	if err := c.List(ctx, &kafka); err != nil {
		return fmt.Errorf("list KafkaChannels: %w", err)
	}
	for i := range kafka.Items {
		if ch := &kafka.Items[i]; ch.Status.GetCondition(messagingv1beta1.KafkaChannelConditionReady).IsTrue() {
			ids = append(ids, flow.StreamID(ch.UID))
		}
	}
	p.streams.Expect(ids...)
	timer := time.AfterFunc(settleWithin, p.streams.Settle)
	context.AfterFunc(ctx, func() { timer.Stop() })
	return nil
}
