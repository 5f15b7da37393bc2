package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/xds"
	"ebb.dev/ebb/xds/build"
	"ebb.dev/ebb/xds/cache"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/watch"
)

// programmer hands KIngresses to the gateways for the reconciler that writes their status.
type programmer struct {
	plane   *xds.Plane
	watcher *watch.Watcher
}

// Program returns when every gateway has accepted the ingress, or with the reason why not.
func (p programmer) Program(ctx context.Context, ingress *networkingv1alpha1.Ingress) ([]string, error) {
	var refused []string
	for _, host := range p.watcher.Apply(ingress) {
		refused = append(refused, fmt.Sprintf("host %q belongs to another ingress", host))
	}
	if !p.plane.Gateways.Any() {
		return nil, errNoGateway
	}
	err := p.plane.Gateways.Programmed(ctx, build.IngressOwner(ingress))
	var refusal cache.Refusal
	if errors.As(err, &refusal) {
		return append(refused, refusal.Error()), nil
	}
	return refused, err
}

var errNoGateway = errors.New("no gateway is connected yet")

// Forget takes an ingress from the gateways that is ours no more; that of a deleted one the watcher sees itself.
func (p programmer) Forget(name types.NamespacedName) { p.watcher.Forget(model.Key(name)) }

// internalGateway makes the internal gateway's name resolve to an address of this machine: a headless Service whose
// endpoints we write.
func internalGateway(ctx context.Context, c client.Client, name, address string, port int32) error {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return fmt.Errorf("internal gateway: address %q: %w", address, err)
	}
	meta := metav1.ObjectMeta{Namespace: systemNamespaces[0], Name: name}
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		ClusterIP: corev1.ClusterIPNone,
		Ports:     []corev1.ServicePort{{Name: "http", Port: port}},
	}}
	if err := c.Create(ctx, service); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create Service %s/%s: %w", meta.Namespace, name, err)
	}
	kind := discoveryv1.AddressTypeIPv4
	if ip.Is6() {
		kind = discoveryv1.AddressTypeIPv6
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: meta.Namespace, Name: name + "-" + strconv.Itoa(int(port)),
			Labels: map[string]string{discoveryv1.LabelServiceName: name, discoveryv1.LabelManagedBy: "ebb"},
		},
		AddressType: kind,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(port), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	var have discoveryv1.EndpointSlice
	err = c.Get(ctx, client.ObjectKeyFromObject(slice), &have)
	switch {
	case apierrors.IsNotFound(err):
		err = c.Create(ctx, slice)
	case err == nil:
		slice.ResourceVersion = have.ResourceVersion
		err = c.Update(ctx, slice)
	}
	if err != nil {
		return fmt.Errorf("write EndpointSlice %s/%s: %w", slice.Namespace, slice.Name, err)
	}
	return nil
}
