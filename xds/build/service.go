package build

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"ebb.dev/ebb/crds/networking"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// Service is a plain backend of an ingress: the ready addresses of a Service's port. It is plain text: nothing of ours
// stands before those pods.
func Service(backend Backend, owner model.Owner, service *corev1.Service, endpointSlices []*discoveryv1.EndpointSlice) *store.Service {
	name := backend.Cluster()
	out := &store.Service{
		Cluster:   model.Cluster{Name: name, Owner: owner, Protocol: model.HTTP1},
		Endpoints: model.Endpoints{Cluster: name},
	}
	if service == nil {
		return out
	}
	port, ok := findPort(service, backend.Port)
	if !ok {
		return out
	}
	if isH2C(port) {
		out.Cluster.Protocol = model.H2C
	}
	for _, slice := range endpointSlices {
		number, ok := slicePort(slice, port.Name)
		if !ok || slice.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready != nil && !*endpoint.Conditions.Ready {
				continue
			}
			for _, address := range endpoint.Addresses {
				out.Endpoints.Items = append(out.Endpoints.Items, model.Endpoint{Address: address, Port: number, Health: model.Healthy})
			}
		}
	}
	sortEndpoints(out.Endpoints.Items)
	return out
}

func findPort(service *corev1.Service, wanted intstr.IntOrString) (corev1.ServicePort, bool) {
	for _, port := range service.Spec.Ports {
		if (wanted.Type == intstr.String && port.Name == wanted.StrVal) || (wanted.Type == intstr.Int && port.Port == wanted.IntVal) {
			return port, true
		}
	}
	return corev1.ServicePort{}, false
}

func isH2C(port corev1.ServicePort) bool {
	if port.AppProtocol != nil {
		return *port.AppProtocol == networking.AppProtocolH2C
	}
	return port.Name == networking.ServicePortNameH2C || strings.HasPrefix(port.Name, "h2c") || strings.HasPrefix(port.Name, "grpc")
}

func slicePort(slice *discoveryv1.EndpointSlice, name string) (uint32, bool) {
	for _, port := range slice.Ports {
		if port.Port != nil && (port.Name == nil && name == "" || port.Name != nil && *port.Name == name) {
			return uint32(*port.Port), true
		}
	}
	return 0, false
}

func sortEndpoints(items []model.Endpoint) {
	slices.SortFunc(items, func(a, b model.Endpoint) int {
		if c := strings.Compare(a.Address, b.Address); c != 0 {
			return c
		}
		return int(a.Port) - int(b.Port)
	})
}
