package flow

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/handed"
	"ebb.dev/ebb/eventing/identity"
	"ebb.dev/ebb/eventing/policy"
)

// lookAgain is how soon something is looked at again that nothing tells us about: an object of a kind that is not watched.
const lookAgain = 5 * time.Second

// Exposer makes Services and channels reachable through Envoy.
type Exposer interface {
	// Subscribers makes the gateways lead to Services; zero names are left out.
	Subscribers(ctx context.Context, services ...types.NamespacedName) error
	// Channel makes a channel's host lead to the ingress.
	Channel(ctx context.Context, placeholder *corev1.Service, route *networking.Ingress) error
}

// Reconciler brings channels, Subscriptions and flows about.
type Reconciler struct {
	Client client.Client
	Handed *handed.Memory
	// NATS remembers for NatsJetStreamChannels alone: an InMemoryChannel may have the same name.
	NATS *handed.Memory
	// Kafka is for KafkaChannels; nil serves none.
	Kafka    *Kafka
	Exposer  Exposer
	Resolver *destination.Resolver
	// Policies reads EventPolicies; nil reads none.
	Policies *policy.Reader
	// Accounts makes as whom Subscriptions send; nil makes nobody.
	Accounts *identity.Accounts
	// ClusterDomain is the DNS domain of Services, Gateway the DNS name of the internal gateway.
	ClusterDomain, Gateway string
	Clock                  clock.PassiveClock
}

// keepers are the kinds of channels that keep their events here.
func (r *Reconciler) keepers() []addressable {
	out := []addressable{{inMemoryChannelKind, &messagingv1.InMemoryChannel{}}, {natsChannelKind, &messagingv1alpha1.NatsJetStreamChannel{}}}
	if r.Kafka != nil {
		out = append(out, addressable{kafkaChannelKind, &messagingv1beta1.KafkaChannel{}})
	}
	return out
}

// serves reports whether channels of a kind keep their events here.
func (r *Reconciler) serves(kind schema.GroupKind) bool {
	return slices.ContainsFunc(r.keepers(), func(k addressable) bool { return k.kind.GroupKind() == kind })
}

// channelable reads a channel of any kind.
func (r *Reconciler) channelable(ctx context.Context, kind schema.GroupVersionKind, name types.NamespacedName) (*Channelable, error) {
	switch kind.GroupKind() {
	case inMemoryChannelKind.GroupKind():
		var c messagingv1.InMemoryChannel
		if err := r.Client.Get(ctx, name, &c); err != nil {
			return nil, err
		}
		return channelableOf(&c), nil
	case natsChannelKind.GroupKind():
		var c messagingv1alpha1.NatsJetStreamChannel
		if err := r.Client.Get(ctx, name, &c); err != nil {
			return nil, err
		}
		return channelableOfNATS(&c), nil
	case kafkaChannelKind.GroupKind():
		var c messagingv1beta1.KafkaChannel
		if err := r.Client.Get(ctx, name, &c); err != nil {
			return nil, err
		}
		return channelableOfKafka(&c), nil
	case channelKind.GroupKind():
		var c messagingv1.Channel
		if err := r.Client.Get(ctx, name, &c); err != nil {
			return nil, err
		}
		return channelableOfChannel(&c), nil
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	if err := r.Client.Get(ctx, name, object); err != nil {
		return nil, err
	}
	var c Channelable
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &c); err != nil {
		return nil, fmt.Errorf("%s %s is no channel: %w", kind.Kind, name, err)
	}
	return &c, nil
}
