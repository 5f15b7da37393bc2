package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

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

// expect names the ingress what stored events before this process began, ready in all else or not: until its controllers have brought all of
// that, what is not found may come yet, and a sender must not be told that it does not exist.
func (p *process) expect(ctx context.Context) error {
	var ids []model.StreamID
	c := p.manager.GetClient()
	was := func(stored bool, id model.StreamID) {
		if stored {
			ids = append(ids, id)
		}
	}
	err := errors.Join(
		each(ctx, c, &eventingv1.BrokerList{}, func(b *eventingv1.Broker) {
			is := b.Status.GetCondition
			was(is(eventingv1.BrokerConditionTriggerChannel).IsTrue() || is(brokers.KafkaConditionTopicReady).IsTrue(), brokers.StreamOf(b).ID)
		}),
		each(ctx, c, &messagingv1.InMemoryChannelList{}, func(ch *messagingv1.InMemoryChannel) {
			was(ch.Status.GetCondition(messagingv1.InMemoryChannelConditionEndpointsReady).IsTrue(), flow.StreamID(ch.UID))
		}),
		each(ctx, c, &messagingv1alpha1.NatsJetStreamChannelList{}, func(ch *messagingv1alpha1.NatsJetStreamChannel) {
			// One that is not ready, because of what is not served, takes events too.
			was(ch.Status.Address != nil, flow.StreamID(ch.UID))
		}),
		each(ctx, c, &messagingv1beta1.KafkaChannelList{}, func(ch *messagingv1beta1.KafkaChannel) {
			was(ch.Status.GetCondition(messagingv1beta1.KafkaChannelConditionReady).IsTrue(), flow.StreamID(ch.UID))
		}),
	)
	if err != nil {
		return err
	}
	p.streams.Expect(ids...)
	close(p.expected)
	timer := time.AfterFunc(settleWithin, p.streams.Settle)
	context.AfterFunc(ctx, func() { timer.Stop() })
	return nil
}

// each looks at all objects of a kind, the type T. list is empty.
func each[T client.Object](ctx context.Context, c client.Reader, list client.ObjectList, look func(T)) error {
	if err := c.List(ctx, list); err != nil {
		return fmt.Errorf("list %T: %w", list, err)
	}
	return meta.EachListItem(list, func(o runtime.Object) error {
		look(o.(T))
		return nil
	})
}
