package policy

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
	flowsv1 "ebb.dev/ebb/crds/flows/v1"
	messagingv1 "ebb.dev/ebb/crds/messaging/v1"
	"ebb.dev/ebb/eventing/model"
)

// Reader reads which EventPolicies apply. A nil one finds none, and says so.
type Reader struct {
	// Client reads from a cache.
	Client   client.Reader
	Features func() config.EventingFeatures
	// Changes tells of changed features; nil tells of none.
	Changes Changes
	// Entrance names the first channel of a flow: that one backs it.
	Entrance func(kind schema.GroupKind, name string) string
}

// Applied is what a target says about EventPolicies. The zero value says that there are none and that nobody is asked who they are.
type Applied struct {
	target   Target
	policies []eventingv1alpha1.EventPolicy
	features config.EventingFeatures
}

// To reads those that apply to a target.
func (r *Reader) To(ctx context.Context, t Target) (Applied, error) {
	if r == nil {
		return Applied{target: t}, nil
	}
	t, err := r.Whole(ctx, t)
	if err != nil {
		return Applied{}, err
	}
	all, err := r.In(ctx, t.Key.Namespace)
	if err != nil {
		return Applied{}, err
	}
	return Applied{t, Applying(all, t), r.Features()}, nil
}

// Whole is a target with all that it backs.
func (r *Reader) Whole(ctx context.Context, t Target) (Target, error) {
	switch {
	case t.Backs != nil && t.Backs.Kind == channelKind:
		var c messagingv1.Channel
		found, err := r.read(ctx, t.Backs.Key, &c)
		if err != nil || !found {
			return t, err
		}
		backs, err := r.Whole(ctx, TargetOf(channelKind, &c))
		t.Backs, t.Flow = &backs, backs.Flow
		return t, err
	case t.Flow != nil && t.Backs == nil && r.Entrance(t.Flow.Kind, t.Flow.Key.Name) == t.Key.Name:
		var flow client.Object = &flowsv1.Sequence{}
		if t.Flow.Kind == parallelKind {
			flow = &flowsv1.Parallel{}
		}
		found, err := r.read(ctx, t.Flow.Key, flow)
		if err == nil && found {
			t.Backs = &Target{Kind: t.Flow.Kind, Key: t.Flow.Key, Labels: flow.GetLabels()}
		}
		return t, err
	}
	return t, nil
}

func (r *Reader) read(ctx context.Context, key client.ObjectKey, o client.Object) (bool, error) {
	err := r.Client.Get(ctx, key, o)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read %T %s: %w", o, key, err)
	}
	return err == nil, nil
}

// Part reports whether a sender is a part of the flow that a target is a part of. What a Sequence or a Parallel is made of may send to each
// other: who may send to the flow is decided at its first channel.
func (r *Reader) Part(ctx context.Context, t Target, subject string) (bool, error) {
	if t.Flow == nil {
		return false, nil
	}
	var list messagingv1.SubscriptionList
	if err := r.Client.List(ctx, &list, client.InNamespace(t.Key.Namespace)); err != nil {
		return false, fmt.Errorf("list Subscriptions in %s: %w", t.Key.Namespace, err)
	}
	for i := range list.Items {
		s := &list.Items[i]
		owner, auth := metav1.GetControllerOf(s), s.Status.Auth
		if owner == nil || owner.UID != t.Flow.UID || auth == nil || auth.ServiceAccountName == nil {
			continue
		}
		as := model.Account{Key: model.Key{Namespace: s.Namespace, Name: *auth.ServiceAccountName}}
		if as.Subject() == subject {
			return true, nil
		}
	}
	return false, nil
}

// In reads those of a namespace.
func (r *Reader) In(ctx context.Context, namespace string) ([]eventingv1alpha1.EventPolicy, error) {
	var list eventingv1alpha1.EventPolicyList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list EventPolicies in %s: %w", namespace, err)
	}
	return list.Items, nil
}

// State says it in a status: which apply, whether they are in force, and for which audience tokens have to be.
func (a Applied) State(marks conditions.Manager, condition conditions.Type, to *duck.AppliedEventPoliciesStatus, address *duck.AddressStatus) {
	State(marks, condition, to, a.policies, a.features)
	if address.Address == nil || !a.features.Enabled(config.AuthenticationOIDC) {
		return
	}
	audience := a.target.Audience()
	address.Address.Audience = &audience
	for i := range address.Addresses {
		address.Addresses[i].Audience = &audience
	}
}
