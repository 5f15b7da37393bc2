package flow

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/duck"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	messagingv1alpha1 "ebb.dev/ebb/crds/messaging/v1alpha1"
	messagingv1beta1 "ebb.dev/ebb/crds/messaging/v1beta1"
	"ebb.dev/ebb/eventing/policy"
	"ebb.dev/ebb/eventing/status"
)

// Sequence reconciles one Sequence.
func (r *Reconciler) Sequence(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var s flowsv1.Sequence
	if err := r.Client.Get(ctx, request.NamespacedName, &s); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read Sequence %s: %w", request, err)
	} else if err != nil || s.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	in := SequenceInput{Sequence: &s, Now: r.Clock.Now()}
	children, err := SequenceChildren(&s)
	if in.Err = err; err == nil {
		in.Channels, in.Subscriptions = r.bring(ctx, &s, children)
		if err := r.prune(ctx, &s, s.Spec.ChannelTemplate, children); err != nil {
			return ctrl.Result{}, fmt.Errorf("Sequence %s: %w", request, err)
		}
	}
	if in.Applied, err = r.Policies.To(ctx, policy.TargetOf(sequenceKind.GroupKind(), &s)); err != nil {
		return ctrl.Result{}, fmt.Errorf("Sequence %s: %w", request, err)
	}
	if err := status.Save(ctx, r.Client, &s, &s.Status, DecideSequence(in)); err != nil {
		return ctrl.Result{}, err
	}
	return r.again(in.Channels, in.Subscriptions), nil
}

// Parallel reconciles one Parallel.
func (r *Reconciler) Parallel(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var p flowsv1.Parallel
	if err := r.Client.Get(ctx, request.NamespacedName, &p); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("read Parallel %s: %w", request, err)
	} else if err != nil || p.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	in := ParallelInput{Parallel: &p, Now: r.Clock.Now()}
	children, err := ParallelChildren(&p)
	if in.Err = err; err == nil {
		in.Channels, in.Subscriptions = r.bring(ctx, &p, children)
		if err := r.prune(ctx, &p, p.Spec.ChannelTemplate, children); err != nil {
			return ctrl.Result{}, fmt.Errorf("Parallel %s: %w", request, err)
		}
	}
	if in.Applied, err = r.Policies.To(ctx, policy.TargetOf(parallelKind.GroupKind(), &p)); err != nil {
		return ctrl.Result{}, fmt.Errorf("Parallel %s: %w", request, err)
	}
	if err := status.Save(ctx, r.Client, &p, &p.Status, DecideParallel(in)); err != nil {
		return ctrl.Result{}, err
	}
	return r.again(in.Channels, in.Subscriptions), nil
}

// again asks for another look where a child is in trouble, or is of a kind that is not watched and not ready yet.
func (r *Reconciler) again(channels, subscriptions []Child) ctrl.Result {
	for _, c := range channels {
		if c.Err != nil || !c.Ready.IsTrue() && !r.watched(c.Ref.Kind) {
			return ctrl.Result{RequeueAfter: lookAgain}
		}
	}
	for _, s := range subscriptions {
		if s.Err != nil {
			return ctrl.Result{RequeueAfter: lookAgain}
		}
	}
	return ctrl.Result{}
}

// bring makes a flow's children, or brings them up to date: channels before what reads them.
func (r *Reconciler) bring(ctx context.Context, owner client.Object, want Children) (channels, subscriptions []Child) {
	for _, c := range want.Channels {
		child := Child{Ref: duck.KReference{APIVersion: c.GetAPIVersion(), Kind: c.GetKind(), Namespace: c.GetNamespace(), Name: c.GetName()}}
		have, err := r.ensureChannel(ctx, owner, c)
		if child.Err = err; err == nil {
			child.Ready, child.Address = have.Ready(), have.Status.Address
		}
		channels = append(channels, child)
	}
	for _, s := range want.Subscriptions {
		child := Child{Ref: duck.KReference{APIVersion: s.APIVersion, Kind: s.Kind, Namespace: s.Namespace, Name: s.Name}}
		have, err := r.ensureSubscription(ctx, owner, s)
		if child.Err = err; err == nil {
			child.Ready, child.Auth = readyOf(&have.Status.Status, have.Generation), have.Status.Auth
		}
		subscriptions = append(subscriptions, child)
	}
	return channels, subscriptions
}

// ensureChannel returns a channel of an owner, and makes it where there is none. What is there stays as it is: a template does not change.
func (r *Reconciler) ensureChannel(ctx context.Context, owner client.Object, want *unstructured.Unstructured) (*Channelable, error) {
	kind, name := want.GroupVersionKind(), client.ObjectKeyFromObject(want)
	have, err := r.channelable(ctx, kind, name)
	switch {
	case apierrors.IsNotFound(err):
		made := &Channelable{TypeMeta: typeOf(kind), ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, Generation: 1}}
		// One that is there already was made by a look before this one; the cache is behind and tells of it soon.
		if err := r.Client.Create(ctx, want.DeepCopy()); err != nil && !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("make %s %s: %w", kind.Kind, name, err)
		}
		return made, nil
	case err != nil:
		return nil, fmt.Errorf("read %s %s: %w", kind.Kind, name, err)
	case !metav1.IsControlledBy(have, owner):
		return nil, fmt.Errorf("%s %s is there and does not belong to this object; rename or delete it", kind.Kind, name)
	}
	return have, nil
}

// ensureSubscription returns a Subscription of an owner as it is to be. Its channel cannot be changed, so one of another channel is made anew.
func (r *Reconciler) ensureSubscription(ctx context.Context, owner client.Object, want *messagingv1.Subscription) (*messagingv1.Subscription, error) {
	name := client.ObjectKeyFromObject(want)
	var have messagingv1.Subscription
	switch err := r.Client.Get(ctx, name, &have); {
	case apierrors.IsNotFound(err):
		return r.makeSubscription(ctx, want)
	case err != nil:
		return nil, fmt.Errorf("read Subscription %s: %w", name, err)
	case !metav1.IsControlledBy(&have, owner):
		return nil, fmt.Errorf("Subscription %s is there and does not belong to this object; rename or delete it", name)
	case have.DeletionTimestamp != nil || equality.Semantic.DeepEqual(have.Spec, want.Spec):
		return &have, nil
	}
	if !equality.Semantic.DeepEqual(have.Spec.Channel, want.Spec.Channel) {
		if err := r.remove(ctx, &have); err != nil {
			return nil, fmt.Errorf("Subscription %s, whose channel changes: %w", name, err)
		}
		return r.makeSubscription(ctx, want)
	}
	next := have.DeepCopy()
	next.Spec = *want.Spec.DeepCopy()
	// Whoever changed it in between made an event that leads here again.
	if err := r.Client.Update(ctx, next); err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("update Subscription %s: %w", name, err)
	}
	next.Status = messagingv1.SubscriptionStatus{}
	return next, nil
}

func (r *Reconciler) makeSubscription(ctx context.Context, want *messagingv1.Subscription) (*messagingv1.Subscription, error) {
	made := want.DeepCopy()
	if err := r.Client.Create(ctx, made); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("make Subscription %s/%s: %w", want.Namespace, want.Name, err)
	}
	return made, nil
}

// prune deletes the children of a flow that it has no more, readers before what they read.
func (r *Reconciler) prune(ctx context.Context, owner client.Object, template *duck.ChannelTemplateSpec, want Children) error {
	keep := sets.New[string]()
	for _, s := range want.Subscriptions {
		keep.Insert(s.Name)
	}
	var subscriptions messagingv1.SubscriptionList
	if err := r.Client.List(ctx, &subscriptions, client.InNamespace(owner.GetNamespace())); err != nil {
		return fmt.Errorf("list its Subscriptions: %w", err)
	}
	for i := range subscriptions.Items {
		if s := &subscriptions.Items[i]; metav1.IsControlledBy(s, owner) && !keep.Has(s.Name) {
			if err := r.remove(ctx, s); err != nil {
				return err
			}
		}
	}
	keep = sets.New[string]()
	for _, c := range want.Channels {
		keep.Insert(c.GetName())
	}
	kind, err := templateOf(template)
	if err != nil {
		return err
	}
	channels, err := r.channels(ctx, kind, owner.GetNamespace())
	if err != nil {
		return fmt.Errorf("list its channels: %w", err)
	}
	for _, c := range channels {
		if metav1.IsControlledBy(c, owner) && !keep.Has(c.GetName()) {
			if err := r.remove(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// channels lists the channels of a kind in a namespace.
func (r *Reconciler) channels(ctx context.Context, kind schema.GroupVersionKind, namespace string) ([]client.Object, error) {
	var out []client.Object
	switch kind.GroupKind() {
	case inMemoryChannelKind.GroupKind():
		var list messagingv1.InMemoryChannelList
		err := r.Client.List(ctx, &list, client.InNamespace(namespace))
		for i := range list.Items {
			out = append(out, &list.Items[i])
		}
		return out, err
	case natsChannelKind.GroupKind():
		var list messagingv1alpha1.NatsJetStreamChannelList
		err := r.Client.List(ctx, &list, client.InNamespace(namespace))
		for i := range list.Items {
			out = append(out, &list.Items[i])
		}
		return out, err
	case kafkaChannelKind.GroupKind():
		var list messagingv1beta1.KafkaChannelList
		err := r.Client.List(ctx, &list, client.InNamespace(namespace))
		for i := range list.Items {
			out = append(out, &list.Items[i])
		}
		return out, err
	case channelKind.GroupKind():
		var list messagingv1.ChannelList
		err := r.Client.List(ctx, &list, client.InNamespace(namespace))
		for i := range list.Items {
			out = append(out, &list.Items[i])
		}
		return out, err
	}
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	err := r.Client.List(ctx, &list, client.InNamespace(namespace))
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out, err
}

// remove deletes an object if it is still the one that was read.
func (r *Reconciler) remove(ctx context.Context, object client.Object) error {
	uid := object.GetUID()
	if object.GetDeletionTimestamp() != nil {
		return nil
	}
	err := r.Client.Delete(ctx, object, client.Preconditions{UID: &uid})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete %s: %w", types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}, err)
	}
	return nil
}
