package route

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/networking"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
)

// newPlaceholder returns the Service by which the cluster's DNS finds a Route's host: another name for the gateway.
func newPlaceholder(r *servingv1.Route, name, gateway string) *corev1.Service {
	labels := copied(r.Labels)
	// Whether a tag is for the cluster alone is said on its own Service.
	delete(labels, networking.VisibilityLabelKey)
	labels[serving.RouteLabelKey] = r.Name
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: r.Namespace, Labels: labels, Annotations: copied(r.Annotations),
			OwnerReferences: apply.OwnerOf(r, routeKind),
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeExternalName, ExternalName: gateway, SessionAffinity: corev1.ServiceAffinityNone,
			Ports: []corev1.ServicePort{{
				Name: networking.ServicePortNameH2C, AppProtocol: ptr.To(networking.AppProtocolH2C),
				Protocol: corev1.ProtocolTCP, Port: networking.ServiceHTTPPort, TargetPort: intstr.FromInt32(networking.ServiceHTTPPort),
			}},
		},
	}
}

// adjustPlaceholder returns have as want says, or nil if it is so. What others have put on it stays.
func adjustPlaceholder(have, want *corev1.Service) *corev1.Service {
	to := have.DeepCopy()
	to.Spec.ExternalName, to.Spec.Ports = want.Spec.ExternalName, want.Spec.Ports
	to.Labels, to.Annotations = copied(have.Labels), copied(have.Annotations)
	maps.Copy(to.Labels, want.Labels)
	maps.Copy(to.Annotations, want.Annotations)
	if equality.Semantic.DeepEqual(have, to) {
		return nil
	}
	return to
}

// gatewayOf is where a placeholder leads: Ebb's own gateway, or that of whoever serves the KIngress, as its status says; "" if it does not.
func gatewayOf(ingress *networkingv1alpha1.Ingress) string {
	if ingress == nil {
		return ""
	}
	for _, lb := range []*networkingv1alpha1.LoadBalancerStatus{ingress.Status.PrivateLoadBalancer, ingress.Status.PublicLoadBalancer} {
		if lb == nil || len(lb.Ingress) != 1 {
			continue
		}
		if at := lb.Ingress[0]; at.DomainInternal != "" {
			return at.DomainInternal
		} else if at.Domain != "" {
			return at.Domain
		}
	}
	return ""
}
