package flow

import (
	"context"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/handed"
	"ebb.dev/ebb/eventing/log/placed"
	"ebb.dev/ebb/eventing/status"
)

// Kafka is what KafkaChannels need besides; without it they are not served.
type Kafka struct {
	// Handed is theirs alone: an InMemoryChannel may have the same name.
	Handed   *handed.Memory
	Settings broker.Settings
	Placer   broker.Placer
}

// lookAtKafka is how soon a KafkaChannel that is well is looked at again: the Secret may have changed.
const lookAtKafka = time.Minute

// KafkaChannel reconciles one KafkaChannel.
func (r *Reconciler) KafkaChannel(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var c messagingv1beta1.KafkaChannel
	if there, err := r.begin(ctx, kafkaChannelKind, r.Kafka.Handed, request, &c); err != nil || !there {
		return ctrl.Result{}, err
	}
	in := KafkaChannelInput{Channel: &c}
	if in.Settings, in.Config = r.Kafka.Settings.ConfigMap(ctx, KafkaConfig); in.Config == nil {
		in.Topic, in.Config = TopicOf(&c, in.Settings)
	}
	var err error
	in.ChannelState, err = r.state(ctx, kafkaChannelKind, &c, c.Spec.Delivery, func() error {
		if in.Config != nil {
			return nil
		}
		stream := KafkaStreamOf(&c, r.ClusterDomain)
		r.Kafka.Placer.Place(stream.ID, placed.Place{Cluster: in.Settings.Cluster, Topic: in.Topic})
		return r.Kafka.Handed.EnsureStream(ctx, stream)
	})
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("KafkaChannel %s: %w", request, err)
	}
	if err := status.Save(ctx, r.Client, &c, &c.Status, DecideKafkaChannel(in)); err != nil {
		return ctrl.Result{}, err
	}
	if in.Config != nil || in.troubled() {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{RequeueAfter: lookAtKafka}, nil
}
