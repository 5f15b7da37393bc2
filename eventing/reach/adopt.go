package reach

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	networking "ebb.dev/ebb/crds/networking/v1alpha1"
)

// adopt gives have what want says. It reports false for kinds that it does not know.
func adopt(have, want client.Object) bool {
	have.SetOwnerReferences(want.GetOwnerReferences())
	switch w := want.(type) {
	case *networking.Ingress:
		have.SetAnnotations(w.Annotations)
		have.(*networking.Ingress).Spec = w.Spec
	case *corev1.Service:
		h := have.(*corev1.Service)
		if w.Spec.Type == corev1.ServiceTypeExternalName {
			h.Spec.Type, h.Spec.ExternalName, h.Spec.Ports = w.Spec.Type, w.Spec.ExternalName, w.Spec.Ports
		}
	case *discoveryv1.EndpointSlice:
		h := have.(*discoveryv1.EndpointSlice)
		h.Endpoints, h.Ports = w.Endpoints, w.Ports
	default:
		return false
	}
	return true
}
