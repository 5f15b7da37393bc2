package flow

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/eventing/status"
)

// InMemoryChannel reconciles one InMemoryChannel.
func (r *Reconciler) InMemoryChannel(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var c messagingv1.InMemoryChannel
	if err := r.Client.Get(ctx, request.NamespacedName, &c); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read InMemoryChannel %s: %w", request, err)
	} else if err != nil || c.DeletionTimestamp != nil {
		return ctrl.Result{}, r.Handed.DropStream(ctx, model.Channel, request.NamespacedName, "")
	}
	stream := StreamOf(&c, r.ClusterDomain)
	if err := r.Handed.DropStream(ctx, model.Channel, request.NamespacedName, stream.ID); err != nil {
		return ctrl.Result{}, err
	}
	in := InMemoryChannelInput{Channel: &c}
	in.ClusterDomain, in.Now = r.ClusterDomain, r.Clock.Now()
	var err error
	if in.Applied, err = r.Policies.To(ctx, policy.TargetOf(inMemoryChannelKind.GroupKind(), &c)); err != nil {
		return ctrl.Result{}, fmt.Errorf("InMemoryChannel %s: %w", request, err)
	}
	in.Stored = r.Handed.EnsureStream(ctx, stream)
	placeholder, route := ExposureOf(&c, r.Gateway, r.ClusterDomain)
	in.Exposed = r.Exposer.Channel(ctx, placeholder, route)
	in.Reached, in.Why = r.reached(ctx, request.NamespacedName)
	in.DeadLetter = r.Resolver.DeadLetters(ctx, c.Spec.Delivery, c.Namespace)
	if err := r.Exposer.Subscribers(ctx, in.DeadLetter.Service); err != nil {
		return ctrl.Result{}, fmt.Errorf("InMemoryChannel %s: %w", request, err)
	}
	if in.Subscriptions, err = r.subscriptionsOf(ctx, &c, inMemoryChannelKind); err != nil {
		return ctrl.Result{}, fmt.Errorf("InMemoryChannel %s: %w", request, err)
	}
	if err := status.Save(ctx, r.Client, &c, &c.Status, DecideInMemoryChannel(in)); err != nil {
		return ctrl.Result{}, err
	}
	if in.Stored != nil || in.Exposed != nil || in.DeadLetter.Err != nil {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}

// reached reports whether the gateways lead to a channel, or why not.
func (r *Reconciler) reached(ctx context.Context, channel types.NamespacedName) (ready bool, why string) {
	var route networking.Ingress
	if err := r.Client.Get(ctx, HostOf(channel), &route); err != nil {
		return false, fmt.Sprintf("the route to it: %v", err)
	}
	return exposure.Reached(&route)
}

// subscriptionsOf lists what reads a channel of a kind, by its own name or by that of the Channel that it backs.
func (r *Reconciler) subscriptionsOf(ctx context.Context, c client.Object, kind schema.GroupVersionKind) ([]messagingv1.Subscription, error) {
	name := client.ObjectKeyFromObject(c)
	keys := []string{indexKey(kind.GroupKind(), name)}
	if owner := metav1.GetControllerOf(c); owner != nil && owner.Kind == channelKind.Kind && owner.Name == name.Name {
		keys = append(keys, indexKey(channelKind.GroupKind(), name))
	}
	var out []messagingv1.Subscription
	for _, key := range keys {
		var list messagingv1.SubscriptionList
		if err := r.Client.List(ctx, &list, client.MatchingFields{channelIndex: key}); err != nil {
			return nil, fmt.Errorf("list its Subscriptions: %w", err)
		}
		for i := range list.Items {
			if list.Items[i].DeletionTimestamp == nil {
				out = append(out, list.Items[i])
			}
		}
	}
	return out, nil
}

// Channel reconciles one Channel.
func (r *Reconciler) Channel(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var c messagingv1.Channel
	if err := r.Client.Get(ctx, request.NamespacedName, &c); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read Channel %s: %w", request, err)
	} else if err != nil || c.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	in := ChannelInput{Channel: &c, Now: r.Clock.Now()}
	if want, err := BackingOf(&c); err != nil {
		in.Err = err
	} else {
		in.Backing, in.Err = r.ensureChannel(ctx, &c, want)
	}
	if err := status.Save(ctx, r.Client, &c, &c.Status, DecideChannel(in)); err != nil {
		return ctrl.Result{}, err
	}
	if in.Err != nil || !in.Backing.Ready().IsTrue() && !r.watched(in.Backing.Kind) {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}

// watched reports whether a change of a channel of that kind is told.
func (r *Reconciler) watched(kind string) bool {
	return kind == inMemoryChannelKind.Kind || kind == channelKind.Kind || kind == kafkaChannelKind.Kind && r.Kafka != nil
}
