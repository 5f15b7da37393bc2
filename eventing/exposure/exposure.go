package exposure

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/eventing"
	keys "ebb.dev/ebb/crds/networking"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
)

const (
	// Namespace is where the event rooms' own Services are.
	Namespace = eventing.SystemNamespace
	// BrokerIngress is the name of the Service that senders of all Brokers know.
	BrokerIngress = "broker-ingress"
	// Backend is the Service in Namespace that the gateways send what they take for it to.
	Backend = eventing.BackendService
	// PurposeKey labels what is made here; its value says for what.
	PurposeKey = "eventing.ebb.dev/exposes"
	// port is the one that Services of the event rooms have.
	port = 80
)

// The values of PurposeKey.
const (
	Ingress    = "ingress"
	Channel    = "channel"
	Subscriber = "subscriber"
)

// Hosts are the names of a Service inside the cluster, the longest first.
func Hosts(service types.NamespacedName, clusterDomain string) []string {
	short := service.Name + "." + service.Namespace
	return []string{short + ".svc." + clusterDomain, short + ".svc", short}
}

// Route makes gateways send what comes for hosts, from inside the cluster, to a Service. External hosts are reached from outside too.
func Route(name types.NamespacedName, purpose string, hosts, external []string, to types.NamespacedName, owner ...metav1.OwnerReference) *networking.Ingress {
	backend := &networking.HTTPIngressRuleValue{Paths: []networking.HTTPIngressPath{{
		Splits: []networking.IngressBackendSplit{{
			IngressBackend: networking.IngressBackend{ServiceNamespace: to.Namespace, ServiceName: to.Name, ServicePort: intstr.FromInt32(port)}, Percent: 100,
		}},
	}}}
	rules := []networking.IngressRule{{Hosts: slices.Clone(hosts), Visibility: networking.IngressVisibilityClusterLocal, HTTP: backend}}
	if len(external) > 0 {
		rules = append(rules, networking.IngressRule{Hosts: slices.Clone(external), Visibility: networking.IngressVisibilityExternalIP, HTTP: backend.DeepCopy()})
	}
	return &networking.Ingress{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: name.Namespace, Name: name.Name, Labels: map[string]string{PurposeKey: purpose}, OwnerReferences: owner,
			Annotations: map[string]string{keys.IngressClassAnnotationKey: keys.IngressClassEbb},
		},
		Spec: networking.IngressSpec{Rules: rules, HTTPOption: networking.HTTPOptionEnabled},
	}
}

// ToSubscriber is the route to a Service that is a subscriber. It goes with the Service.
func ToSubscriber(service *corev1.Service, clusterDomain string) *networking.Ingress {
	name := types.NamespacedName{Namespace: service.Namespace, Name: service.Name}
	owner := metav1.OwnerReference{APIVersion: "v1", Kind: "Service", Name: service.Name, UID: service.UID}
	return Route(SubscriberRoute(name), Subscriber, Hosts(name, clusterDomain), nil, name, owner)
}

// SubscriberRoute is the name of the route to a subscriber.
func SubscriberRoute(service types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: service.Namespace, Name: service.Name + "-subscriber"}
}

// Reached reports whether the gateways have accepted a route, or why not.
func Reached(route *networking.Ingress) (ready bool, why string) {
	switch c := route.Status.GetCondition(networking.IngressConditionReady); {
	case c.IsTrue():
		return true, ""
	case c == nil:
		return false, "no gateway has answered for the route to it yet"
	default:
		return false, fmt.Sprintf("the route to it: %s %s", c.Reason, c.Message)
	}
}

// Missing reports whether gateways may not have had a route yet at a time. A route that they refuse is not being made any more.
func Missing(route *networking.Ingress, at time.Time) bool {
	c := route.Status.GetCondition(networking.IngressConditionReady)
	switch {
	case c.IsTrue():
		// The API keeps whole seconds.
		return c.LastTransitionTime.Add(time.Second).After(at)
	case c.IsFalse():
		return false
	}
	return true
}

// Placeholder is the Service by which the cluster's DNS finds the gateway under another name.
func Placeholder(name types.NamespacedName, purpose, gateway string, owner ...metav1.OwnerReference) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, Labels: map[string]string{PurposeKey: purpose}, OwnerReferences: owner},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeExternalName, ExternalName: gateway, SessionAffinity: corev1.ServiceAffinityNone,
			Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: port, TargetPort: intstr.FromInt32(port)}},
		},
	}
}

// BackendService is the Service of a process outside of the cluster's pods, and the EndpointSlice that says where it listens.
func BackendService(address string, listens int32) (*corev1.Service, *discoveryv1.EndpointSlice) {
	family := discoveryv1.AddressTypeIPv4
	if ip, err := netip.ParseAddr(address); err == nil {
		ip = ip.Unmap()
		address = ip.String()
		if ip.Is6() {
			family = discoveryv1.AddressTypeIPv6
		}
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: Backend, Labels: map[string]string{PurposeKey: Ingress}},
		Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{
			Name: "http", Protocol: corev1.ProtocolTCP, Port: port, TargetPort: intstr.FromInt32(listens),
		}}},
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: Namespace, Name: Backend + "-here",
			Labels: map[string]string{discoveryv1.LabelServiceName: Backend, discoveryv1.LabelManagedBy: "ebb", PurposeKey: Ingress},
		},
		AddressType: family,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(listens), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	return service, slice
}
