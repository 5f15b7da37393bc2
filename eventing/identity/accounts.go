package identity

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/eventing/enqueue"
	"ebb.dev/ebb/eventing/model"
)

// Accounts makes the ServiceAccounts of what sends, and takes them away once nobody is asked who sends. A nil one makes none.
type Accounts struct {
	// Client reads ServiceAccounts from a cache, which may have only those with LabelKey; Reader reads from the API server itself.
	Client   client.Client
	Reader   client.Reader
	Features func() config.EventingFeatures
	// Changes tells of changed features, a listener each call; nil tells of none.
	Changes func() <-chan event.GenericEvent
}

// Settle makes an object's account, or takes it away, and returns who the object sends as. Where all is as it is to be, it asks the cache alone.
func (a *Accounts) Settle(ctx context.Context, o client.Object) Sender {
	if a == nil {
		return Sender{}
	}
	asked := a.Features().Enabled(config.AuthenticationOIDC)
	account, err := a.settle(ctx, o, asked)
	if err != nil {
		return Sender{Asked: asked, Err: err}
	}
	return Sender{Asked: asked, Account: account}
}

func (a *Accounts) settle(ctx context.Context, o client.Object, asked bool) (model.Account, error) {
	kind, err := a.Client.GroupVersionKindFor(o)
	if err != nil {
		return model.Account{}, err
	}
	want := AccountOf(kind, o)
	key := client.ObjectKeyFromObject(want)
	var have corev1.ServiceAccount
	err = a.Client.Get(ctx, key, &have)
	switch {
	case apierrors.IsNotFound(err) && !asked:
		return model.Account{}, nil
	case apierrors.IsNotFound(err):
		return a.make(ctx, want, o)
	case err != nil:
		return model.Account{}, fmt.Errorf("read ServiceAccount %s: %w", key, err)
	case !asked:
		return model.Account{}, a.remove(ctx, &have, o)
	}
	return owned(&have, o)
}

// make creates an account. One that is there already was made by a look before this one, or by somebody else.
func (a *Accounts) make(ctx context.Context, want *corev1.ServiceAccount, o client.Object) (model.Account, error) {
	key := client.ObjectKeyFromObject(want)
	err := a.Client.Create(ctx, want)
	if err == nil {
		return owned(want, o)
	}
	if !apierrors.IsAlreadyExists(err) {
		return model.Account{}, fmt.Errorf("make ServiceAccount %s: %w", key, err)
	}
	var have corev1.ServiceAccount
	if err := a.Reader.Get(ctx, key, &have); err != nil {
		return model.Account{}, fmt.Errorf("read ServiceAccount %s: %w", key, err)
	}
	account, err := owned(&have, o)
	if err != nil || have.Labels[LabelKey] != "" {
		return account, err
	}
	// Without its label it would never be seen again.
	before := have.DeepCopy()
	metav1.SetMetaDataLabel(&have.ObjectMeta, LabelKey, want.Labels[LabelKey])
	if err := a.Client.Patch(ctx, &have, client.MergeFrom(before)); err != nil {
		return model.Account{}, fmt.Errorf("label ServiceAccount %s: %w", key, err)
	}
	return account, nil
}

// owned is an account that is to be an object's.
func owned(have *corev1.ServiceAccount, o client.Object) (model.Account, error) {
	key := types.NamespacedName{Namespace: have.Namespace, Name: have.Name}
	switch {
	case !metav1.IsControlledBy(have, o):
		return model.Account{}, fmt.Errorf("ServiceAccount %s is there and does not belong to this object; delete it", key)
	case have.DeletionTimestamp != nil:
		return model.Account{}, fmt.Errorf("ServiceAccount %s is being deleted; it is made again", key)
	}
	return model.Account{Key: key, UID: have.UID}, nil
}

// remove deletes an account if it is the object's.
func (a *Accounts) remove(ctx context.Context, have *corev1.ServiceAccount, o client.Object) error {
	if !metav1.IsControlledBy(have, o) || have.DeletionTimestamp != nil {
		return nil
	}
	err := a.Client.Delete(ctx, have, client.Preconditions{UID: ptr.To(have.UID)})
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete ServiceAccount %s/%s: %w", have.Namespace, have.Name, err)
	}
	return nil
}

// Watch has a controller of what sends look again at an object whose account has changed or is gone, and at all of them when the features
// change. list is an empty list of the controller's kind.
func (a *Accounts) Watch(b *builder.Builder, list client.ObjectList) *builder.Builder {
	if a == nil {
		return b
	}
	b = b.Owns(&corev1.ServiceAccount{}, builder.WithPredicates(predicate.Funcs{CreateFunc: func(event.CreateEvent) bool { return false }}))
	return enqueue.OnChange(b, a.Changes, a.Client, list)
}
