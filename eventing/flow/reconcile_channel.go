package flow

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/handed"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/eventing/status"
)

// InMemoryChannel reconciles one InMemoryChannel.
func (r *Reconciler) InMemoryChannel(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var c messagingv1.InMemoryChannel
	if there, err := r.begin(ctx, inMemoryChannelKind, r.Handed, request, &c); err != nil || !there {
		return ctrl.Result{}, err
	}
	state, err := r.state(ctx, inMemoryChannelKind, &c, c.Spec.Delivery, func() error {
		return r.Handed.EnsureStream(ctx, StreamOf(&c, r.ClusterDomain))
	})
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("InMemoryChannel %s: %w", request, err)
	}
	if err := status.Save(ctx, r.Client, &c, &c.Status, DecideInMemoryChannel(InMemoryChannelInput{ChannelState: state, Channel: &c})); err != nil {
		return ctrl.Result{}, err
	}
	if state.troubled() {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}

// begin reads a channel of a kind that keeps events, and drops what one of its name before it has stored; false if it is gone. memory is that
// of what was handed over for the kind.
func (r *Reconciler) begin(ctx context.Context, kind schema.GroupVersionKind, memory *handed.Memory, request ctrl.Request, c client.Object) (there bool, err error) {
	err = r.Client.Get(ctx, request.NamespacedName, c)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read %s %s: %w", kind.Kind, request, err)
	}
	if err != nil || c.GetDeletionTimestamp() != nil {
		return false, memory.DropStream(ctx, model.Channel, request.NamespacedName, "")
	}
	return true, memory.DropStream(ctx, model.Channel, request.NamespacedName, StreamID(c.GetUID()))
}

// state finds out what channels of all kinds that keep events are decided by, and makes the gateways lead to one. store makes its stream.
func (r *Reconciler) state(ctx context.Context, kind schema.GroupVersionKind, c client.Object, delivery *duck.DeliverySpec, store func() error) (ChannelState, error) {
	in := ChannelState{ClusterDomain: r.ClusterDomain, Now: r.Clock.Now()}
	var err error
	if in.Applied, err = r.Policies.To(ctx, policy.TargetOf(kind.GroupKind(), c)); err != nil {
		return in, err
	}
	in.Stored = store()
	placeholder, route := ExposureOf(kind, c, r.Gateway, r.ClusterDomain)
	in.Exposed = r.Exposer.Channel(ctx, placeholder, route)
	in.Reached, in.Why = r.reached(ctx, client.ObjectKeyFromObject(route))
	in.DeadLetter = r.Resolver.DeadLetters(ctx, delivery, c.GetNamespace())
	if err := r.Exposer.Subscribers(ctx, in.DeadLetter.Service); err != nil {
		return in, err
	}
	in.Subscriptions, err = r.subscriptionsOf(ctx, c, kind)
	return in, err
}

// troubled reports whether a channel has to be looked at again although nothing tells of a change.
func (in ChannelState) troubled() bool {
	return in.Stored != nil || in.Exposed != nil || in.DeadLetter.Err != nil
}

// reached reports whether the gateways have taken a route over, or why not.
func (r *Reconciler) reached(ctx context.Context, name types.NamespacedName) (ready bool, why string) {
	var route networking.Ingress
	if err := r.Client.Get(ctx, name, &route); err != nil {
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
	return kind == channelKind.Kind || slices.ContainsFunc(r.keepers(), func(k addressable) bool { return k.kind.Kind == kind })
}
