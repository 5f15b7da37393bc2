package flow

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	"ebb.dev/ebb/eventing/destination"
	"ebb.dev/ebb/eventing/model"
)

// Subscription reconciles one Subscription.
func (r *Reconciler) Subscription(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var s messagingv1.Subscription
	if err := r.Client.Get(ctx, request.NamespacedName, &s); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read Subscription %s: %w", request, err)
	} else if err != nil || s.DeletionTimestamp != nil {
		return ctrl.Result{}, r.dropReader(ctx, request.NamespacedName, reading{})
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
	in.Subscriber = r.find(ctx, s.Spec.Subscriber, s.Namespace)
	in.Reply = r.find(ctx, s.Spec.Reply, s.Namespace)
	if s.Spec.Delivery != nil && given(s.Spec.Delivery.DeadLetterSink) {
		in.DeadLetter = r.deadLetters(ctx, s.Spec.Delivery, s.Namespace)
	} else if in.Channel != nil {
		in.DeadLetter = r.deadLetters(ctx, in.Channel.Spec.Delivery, in.Channel.Namespace)
	}
	if err := r.expose(ctx, in.Subscriber, in.Reply, in.DeadLetter); err != nil {
		return ctrl.Result{}, fmt.Errorf("Subscription %s: %w", request, err)
	}
	d := DecideSubscription(in)
	if err := r.hand(ctx, request.NamespacedName, d.Reader); err != nil {
		return ctrl.Result{}, err
	}
	if !equality.Semantic.DeepEqual(s.Status, d.Status) {
		s.Status = d.Status
		if err := r.save(ctx, "Subscription", &s); err != nil {
			return ctrl.Result{}, err
		}
	}
	if in.NoChannel != nil || in.Subscriber.Err != nil || in.Reply.Err != nil || in.DeadLetter.Err != nil {
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{}, nil
}

// channelOf finds the InMemoryChannel that a Subscription reads in the end. An error that is a *destination.Unresolved says why there is none.
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
	if kind.GroupKind() != inMemoryChannelKind.GroupKind() {
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

// hand gives the plane a Subscription's reader, or takes it away where there is none.
func (r *Reconciler) hand(ctx context.Context, name types.NamespacedName, reader *model.Reader) error {
	var now reading
	if reader != nil {
		now = reading{reader.Stream, reader.ID}
	}
	if err := r.dropReader(ctx, name, now); err != nil || reader == nil {
		return err
	}
	if err := r.Plane.SetReader(ctx, *reader); err != nil {
		return fmt.Errorf("start the reader of Subscription %s: %w", name, err)
	}
	r.readers.keep(name, now)
	return nil
}

// dropReader ends the reader that a name had, unless it is the one it has now.
func (r *Reconciler) dropReader(ctx context.Context, name types.NamespacedName, now reading) error {
	old, had := r.readers.other(name, now)
	if !had {
		return nil
	}
	if err := r.Plane.RemoveReader(ctx, old.stream, old.id); err != nil {
		return fmt.Errorf("end the reader of Subscription %s: %w", name, err)
	}
	r.readers.forget(name, old)
	return nil
}
