package flow

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/eventing/broker"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/model"
)

// lookAgain is how soon something is looked at again that nothing tells us about: an object of a kind that is not watched.
const lookAgain = 5 * time.Second

// Exposer makes Services and channels reachable through Envoy.
type Exposer interface {
	// Subscriber makes the gateways lead to a Service; it does nothing for a zero name.
	Subscriber(ctx context.Context, service types.NamespacedName) error
	// Channel makes a channel's host lead to the ingress.
	Channel(ctx context.Context, placeholder *corev1.Service, route *networking.Ingress) error
}

// Reconciler brings channels, Subscriptions and flows about.
type Reconciler struct {
	Client   client.Client
	Plane    broker.Plane
	Exposer  Exposer
	Resolver *destination.Resolver
	// ClusterDomain is the DNS domain of Services, Gateway the DNS name of the internal gateway.
	ClusterDomain, Gateway string
	Clock                  clock.PassiveClock

	streams memory[model.StreamID]
	readers memory[reading]
}

// find resolves a destination; the zero value is one that is not given.
func (r *Reconciler) find(ctx context.Context, d *duck.Destination, namespace string) broker.Found {
	if !given(d) {
		return broker.Found{}
	}
	resolved, err := r.Resolver.Resolve(ctx, *d, namespace)
	return broker.Found{Resolved: resolved, Err: err}
}

// deadLetters resolves the sink of a delivery that may be nil.
func (r *Reconciler) deadLetters(ctx context.Context, d *duck.DeliverySpec, namespace string) broker.Found {
	if d == nil {
		return broker.Found{}
	}
	return r.find(ctx, d.DeadLetterSink, namespace)
}

// expose makes the Services among destinations reachable.
func (r *Reconciler) expose(ctx context.Context, destinations ...broker.Found) error {
	for _, d := range destinations {
		if err := r.Exposer.Subscriber(ctx, d.Service); err != nil {
			return fmt.Errorf("make Service %s reachable: %w", d.Service, err)
		}
	}
	return nil
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

// save stores the status of an object.
func (r *Reconciler) save(ctx context.Context, kind string, object client.Object) error {
	if err := r.Client.Status().Update(ctx, object); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write the status of %s %s/%s: %w", kind, object.GetNamespace(), object.GetName(), err)
	}
	return nil
}
