package policy

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/duck"
	eventingv1alpha1 "ebb.dev/ebb/crds/eventing/v1alpha1"
)

// Reader reads which EventPolicies apply. A nil one finds none, and says so.
type Reader struct {
	// Client reads from a cache.
	Client   client.Reader
	Features func() config.EventingFeatures
	// Changes tells of changed features; nil tells of none.
	Changes Changes
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
	all, err := r.In(ctx, t.Key.Namespace)
	if err != nil {
		return Applied{}, err
	}
	return Applied{t, Applying(all, t), r.Features()}, nil
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
