package flow

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/status"
)

// Subscription reconciles one Subscription.
func (r *Reconciler) Subscription(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var s messagingv1.Subscription
	if err := r.Client.Get(ctx, request.NamespacedName, &s); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read Subscription %s: %w", request, err)
	} else if err != nil || s.DeletionTimestamp != nil {
		return ctrl.Result{}, r.Handed.DropReader(ctx, model.Subscription, request.NamespacedName)
	}
	in := SubscriptionInput{Subscription: &s, Now: r.Clock.Now()}
	var err error
	in.Channel, err = r.channelOf(ctx, &s)
	var unserved *destination.Unresolved
	if errors.As(err, &unserved) {
		in.NoChannel = unserved
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("Subscription %s: %w", request, err)
	}
	in.Subscriber = r.Resolver.Find(ctx, s.Spec.Subscriber, s.Namespace)
	in.Reply = r.Resolver.Find(ctx, s.Spec.Reply, s.Namespace)
	if s.Spec.Delivery != nil && destination.Given(s.Spec.Delivery.DeadLetterSink) {
		in.DeadLetter = r.Resolver.DeadLetters(ctx, s.Spec.Delivery, s.Namespace)
	} else if in.Channel != nil {
		in.DeadLetter = r.Resolver.DeadLetters(ctx, in.Channel.Spec.Delivery, in.Channel.Namespace)
	}
	in.Sender = r.Accounts.Settle(ctx, &s)
	if err := r.Exposer.Subscribers(ctx, in.Subscriber.Service, in.Reply.Service, in.DeadLetter.Service); err != nil {
		return ctrl.Result{}, fmt.Errorf("Subscription %s: %w", request, err)
	}
	d := DecideSubscription(in)
	reading := r.Handed.SetReader(ctx, model.Subscription, request.NamespacedName, d.Reader)
	if reading != nil {
		d.NotReading(&s, reading, in.Now)
	}
	if err := status.Save(ctx, r.Client, &s, &s.Status, d.Status); err != nil {
		return ctrl.Result{}, errors.Join(reading, err)
	}
	if reading != nil {
		return ctrl.Result{}, reading
	}
	if in.NoChannel != nil || in.Subscriber.Err != nil || in.Reply.Err != nil || in.DeadLetter.Err != nil || in.Sender.Err != nil {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}

// channelOf finds the channel that keeps events and that a Subscription reads in the end. An error that is a *destination.Unresolved says why there is none.
func (r *Reconciler) channelOf(ctx context.Context, s *messagingv1.Subscription) (*Channelable, error) {
	ref := s.Spec.Channel
	if ref.Namespace == "" {
		ref.Namespace = s.Namespace
	}
	kind, err := r.Resolver.KindOf(ref)
	if err != nil {
		return nil, err
	}
	if kind.GroupKind() == channelKind.GroupKind() {
		var c messagingv1.Channel
		if err := r.Client.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &c); err != nil {
			return nil, missing(ref, err)
		}
		if c.Status.Channel == nil {
			return nil, &destination.Unresolved{
				Reason: "NoBackingChannel", Message: fmt.Sprintf("Channel %s/%s has no channel that backs it yet", ref.Namespace, ref.Name),
			}
		}
		ref = *c.Status.Channel
		if kind, err = r.Resolver.KindOf(ref); err != nil {
			return nil, err
		}
	}
	if !r.serves(kind.GroupKind()) {
		return nil, &destination.Unresolved{
			Reason: "UnknownKind", Message: fmt.Sprintf("channels of kind %s are not served here; use an InMemoryChannel, which keeps its events", kind.Kind),
		}
	}
	c, err := r.channelable(ctx, kind, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name})
	if err != nil {
		return nil, missing(ref, err)
	}
	if c.DeletionTimestamp != nil {
		return nil, &destination.Unresolved{Reason: "NotFound", Message: fmt.Sprintf("%s %s/%s is being deleted", ref.Kind, ref.Namespace, ref.Name)}
	}
	return c, nil
}

// missing tells what is not there from what could not be read.
func missing(ref duck.KReference, err error) error {
	if client.IgnoreNotFound(err) == nil || meta.IsNoMatchError(err) {
		return &destination.Unresolved{Reason: "NotFound", Message: fmt.Sprintf("%s %s/%s does not exist", ref.Kind, ref.Namespace, ref.Name)}
	}
	return fmt.Errorf("read %s %s/%s: %w", ref.Kind, ref.Namespace, ref.Name, err)
}
