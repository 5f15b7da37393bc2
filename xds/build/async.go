package build

import (
	"k8s.io/apimachinery/pkg/util/intstr"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/crds/eventing"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/crds/serving"
	"ebb.dev/ebb/xds/model"
)

// AsyncBackend takes requests that are answered later: the event broker. While the Service does not exist, none are.
var AsyncBackend = Backend{Service: model.Key{Namespace: eventing.SystemNamespace, Name: eventing.BackendService}, Port: intstr.FromInt32(80)}

// asyncRoutes lead requests for a rule's hosts that are answered later, and questions what became of them, to AsyncBackend. Ingresses that no
// Route made have none.
func asyncRoutes(ingress *networkingv1alpha1.Ingress, rule int) []model.Route {
	name, namespace := ingress.Labels[serving.RouteLabelKey], ingress.Labels[serving.RouteNamespaceLabelKey]
	inside := insideHost(ingress, rule)
	if name == "" || namespace != ingress.Namespace || inside == "" {
		return nil
	}
	asked := model.Route{
		PathPrefix: "/", Prefer: model.Preference{Name: async.RespondAsync}, Aside: true,
		AppendHeaders: []model.Header{
			{Name: async.HostHeader, Value: inside},
			{Name: async.ServiceHeader, Value: model.Key{Namespace: namespace, Name: name}.String()},
		},
		Splits: []model.Split{{Cluster: AsyncBackend.Cluster(), Weight: 100}},
	}
	switch async.Mode(ingress.Annotations, ingress.Labels) {
	case async.ModeNever:
		return nil
	case async.ModeAlways:
		asked.Prefer = model.Preference{Name: async.RespondSync, Absent: true}
	}
	outcome := asked
	outcome.PathPrefix, outcome.Prefer = async.Path, model.Preference{}
	return []model.Route{outcome, asked}
}

// insideHost is the name by which the internal gateway leads where a rule does. A Route writes a rule for the cluster, and after it the one
// for the outside that leads to the same.
func insideHost(ingress *networkingv1alpha1.Ingress, rule int) string {
	for ; rule >= 0; rule-- {
		r := ingress.Spec.Rules[rule]
		if r.Visibility != networkingv1alpha1.IngressVisibilityClusterLocal {
			continue
		}
		longest := ""
		for _, host := range r.Hosts {
			if len(host) > len(longest) {
				longest = host
			}
		}
		return longest
	}
	return ""
}
