package reach

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	networking "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/eventing/exposure"
)

// Reach makes things reachable.
type Reach struct {
	// Client reads from a cache and writes.
	Client client.Client
	// Gateway is the DNS name of the internal gateway.
	Gateway string
	// ClusterDomain is the DNS domain of Services, Domain that of URLs for clients outside; without it they are not served.
	ClusterDomain, Domain string

	// making are objects, by kind and name, that were made and that the cache does not have yet.
	making sync.Map
}

// Announce makes the brokers' ingress known: its name, the route to it, and where it listens if address is not empty. With an empty
// address a Service called exposure.Backend is there already.
func (r *Reach) Announce(ctx context.Context, address string, port int32) error {
	placeholder, route := exposure.Brokers.Exposure(r.Gateway, r.ClusterDomain, r.Domain)
	objects := []client.Object{placeholder}
	if address != "" {
		service, slice := exposure.BackendService(address, port)
		objects = append(objects, service, slice)
	}
	for _, o := range append(objects, route) {
		if err := r.ensure(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// Ingress reports whether the gateways lead to the brokers' ingress, or why not.
func (r *Reach) Ingress(ctx context.Context) (ready bool, why string) {
	var ingress networking.Ingress
	if err := r.Client.Get(ctx, exposure.Brokers.Name(), &ingress); err != nil {
		return false, fmt.Sprintf("the route to it: %v", err)
	}
	return exposure.Reached(&ingress)
}

// Subscriber makes the gateways lead to a Service; it does nothing for a zero name. A Service that is another name for something else, as
// those of Knative's Services are, has its route already.
func (r *Reach) Subscriber(ctx context.Context, name types.NamespacedName) error {
	if name.Name == "" {
		return nil
	}
	var service corev1.Service
	err := r.Client.Get(ctx, name, &service)
	if apierrors.IsNotFound(err) || err == nil && service.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	if err == nil {
		err = r.ensure(ctx, exposure.ToSubscriber(&service, r.ClusterDomain))
	}
	if err != nil {
		return fmt.Errorf("make Service %s reachable: %w", name, err)
	}
	return nil
}

// Missing reports whether the gateways may not have led to a Service yet at a time, by its name in the cluster, because its route was only
// being made.
func (r *Reach) Missing(ctx context.Context, host string, at time.Time) bool {
	name, rest, _ := strings.Cut(host, ".")
	namespace, _, _ := strings.Cut(rest, ".")
	route := exposure.SubscriberRoute(types.NamespacedName{Namespace: namespace, Name: name})
	var have networking.Ingress
	what := called(&have, route)
	if err := r.Client.Get(ctx, route, &have); err != nil {
		_, making := r.making.Load(what)
		return making
	}
	r.making.Delete(what)
	return exposure.Missing(&have, at)
}

// Subscribers makes the gateways lead to several Services, as Subscriber does.
func (r *Reach) Subscribers(ctx context.Context, names ...types.NamespacedName) error {
	for _, name := range names {
		if err := r.Subscriber(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// Channel makes a channel's host lead to the ingress.
func (r *Reach) Channel(ctx context.Context, placeholder *corev1.Service, route *networking.Ingress) error {
	if err := r.ensure(ctx, placeholder); err != nil {
		return err
	}
	return r.ensure(ctx, route)
}

// Host makes a host that many objects are reached by lead to the ingress, and sees whether the gateways do.
func (r *Reach) Host(ctx context.Context, h exposure.Host) (exposure.Way, error) {
	placeholder, route := h.Exposure(r.Gateway, r.ClusterDomain, r.Domain)
	way := exposure.Way{Exposed: r.Channel(ctx, placeholder, route)}
	var have networking.Ingress
	err := r.Client.Get(ctx, h.Name(), &have)
	switch {
	case apierrors.IsNotFound(err):
		way.Why = "the route to it is being made"
	case err != nil:
		return way, fmt.Errorf("read the route to %s: %w", h.Name(), err)
	default:
		way.Reached, way.Why = exposure.Reached(&have)
	}
	return way, nil
}

// called is an object in errors, and among those that are being made.
func called(o client.Object, name types.NamespacedName) string { return fmt.Sprintf("%T %s", o, name) }

// ensure makes an object, or brings ours up to date.
func (r *Reach) ensure(ctx context.Context, want client.Object) error {
	what := called(want, client.ObjectKeyFromObject(want))
	have := want.DeepCopyObject().(client.Object)
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(want), have)
	if apierrors.IsNotFound(err) {
		r.making.Store(what, nil)
		if err = r.Client.Create(ctx, want); apierrors.IsAlreadyExists(err) {
			return nil // the cache is behind; the next look compares
		}
		if err != nil {
			return fmt.Errorf("make %s: %w", what, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	r.making.Delete(what)
	if have.GetLabels()[exposure.PurposeKey] == "" {
		return fmt.Errorf("%s is there and not Ebb's; rename or delete it", what)
	}
	next := have.DeepCopyObject().(client.Object)
	if !adopt(next, want) || equality.Semantic.DeepEqual(have, next) {
		return nil
	}
	if err := r.Client.Update(ctx, next); err != nil {
		return fmt.Errorf("update %s: %w", what, err)
	}
	return nil
}
