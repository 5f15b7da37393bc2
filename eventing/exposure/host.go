package exposure

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	networking "ebb.dev/ebb/crds/networking/v1alpha1"
)

// Host is the Service by whose names all objects of a kind are reached, each by its path /NAMESPACE/NAME.
type Host struct {
	// Service is its name in Namespace.
	Service string
	// Purpose is the value of PurposeKey of what leads there.
	Purpose string
	// External says that clients outside reach it too.
	External bool
}

// Brokers is the Host of all Brokers.
var Brokers = Host{Service: BrokerIngress, Purpose: Ingress, External: true}

// Name is the name of the Service, and of the route to it.
func (h Host) Name() types.NamespacedName {
	return types.NamespacedName{Namespace: Namespace, Name: h.Service}
}

// Names are those by which it is reached: inside the cluster, the longest first, and from outside if there is a domain for that.
func (h Host) Names(clusterDomain, domain string) []string {
	return append(Hosts(h.Name(), clusterDomain), h.outside(domain)...)
}

// Address is that of an object.
func (h Host) Address(clusterDomain string, o metav1.Object) *duck.Addressable {
	return &duck.Addressable{Name: ptr.To("http"), URL: "http://" + Hosts(h.Name(), clusterDomain)[0] + "/" + o.GetNamespace() + "/" + o.GetName()}
}

// Exposure is what makes Envoy lead from its names to the ingress. gateway is the DNS name of the internal gateway.
func (h Host) Exposure(gateway, clusterDomain, domain string) (*corev1.Service, *networking.Ingress) {
	backend := types.NamespacedName{Namespace: Namespace, Name: Backend}
	return Placeholder(h.Name(), h.Purpose, gateway), Route(h.Name(), h.Purpose, Hosts(h.Name(), clusterDomain), h.outside(domain), backend)
}

func (h Host) outside(domain string) []string {
	if !h.External || domain == "" {
		return nil
	}
	return []string{h.Service + "." + Namespace + "." + domain}
}

// Way is whether there is a way to a host through the gateways.
type Way struct {
	// Exposed is why its Service or its route could not be made; nil if they are there.
	Exposed error
	// Reached says that the gateways lead there, Why, why not.
	Reached bool
	Why     string
}

// Open reports whether it can be gone.
func (w Way) Open() bool { return w.Exposed == nil && w.Reached }

// State says so in the condition by which objects say that they have an address.
func (w Way) State(marks conditions.Manager, condition conditions.Type) {
	switch {
	case w.Exposed != nil:
		marks.MarkFalse(condition, "NotExposed", w.Exposed.Error())
	case !w.Reached:
		marks.MarkUnknown(condition, "RouteNotReady", w.Why)
	default:
		marks.MarkTrue(condition)
	}
}
