package route

import (
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/networking"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/naming"
	"ebb.dev/ebb/serving/rollout"
)

// Headers that say by which way a request came.
const (
	tagHeader          = "Knative-Serving-Tag"
	defaultRouteHeader = "Knative-Serving-Default-Route"
)

var routeKind = servingv1.SchemeGroupVersion.WithKind("Route")

// newIngress returns the Route's KIngress at this stage of the rollout.
func newIngress(h hosts, t traffic, state rollout.Rollout) (*networkingv1alpha1.Ingress, error) {
	r := h.route
	labels := copied(r.Labels)
	labels[serving.RouteLabelKey], labels[serving.RouteNamespaceLabelKey] = r.Name, r.Namespace
	annotations := copied(r.Annotations)
	for _, key := range []string{corev1.LastAppliedConfigAnnotation, networking.CertificateClassAltAnnotationKey, networking.IngressClassAltAnnotationKey} {
		delete(annotations, key)
	}
	annotations[networking.IngressClassAnnotationKey] = ingressClass(r, h.config.Network)
	annotations[networking.RolloutAnnotationKey] = state.String()
	ingress := &networkingv1alpha1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Name: naming.Ingress(r.Name), Namespace: r.Namespace, Labels: labels, Annotations: annotations,
		OwnerReferences: apply.OwnerOf(r, routeKind),
	}}
	tagged, err := rules(ingress, h, t, state)
	if err != nil {
		return nil, err
	}
	if len(tagged) > 0 {
		mapping, err := json.Marshal(tagged)
		if err != nil {
			return nil, fmt.Errorf("tags: %w", err)
		}
		annotations[networking.TagToHostAnnotationKey] = string(mapping)
	}
	ingress.Spec.HTTPOption, err = httpOption(r, h.config.Network)
	ingress.SetDefaults()
	return ingress, err
}

func ingressClass(r *servingv1.Route, network *config.Network) string {
	if class := networking.IngressClass(r.Annotations); class != "" {
		return class
	}
	return network.IngressClass
}

func httpOption(r *servingv1.Route, network *config.Network) (networkingv1alpha1.HTTPOption, error) {
	written := networking.HTTPProtocol(r.Annotations)
	switch protocol := strings.ToLower(written); {
	case protocol == "enabled", written == "" && network.HTTPProtocol == config.HTTPEnabled:
		return networkingv1alpha1.HTTPOptionEnabled, nil
	case protocol == "redirected", written == "" && network.HTTPProtocol == config.HTTPRedirected:
		return networkingv1alpha1.HTTPOptionRedirected, nil
	case written != "":
		return "", fmt.Errorf("incorrect http-protocol annotation: %s; write Enabled or Redirected", written)
	}
	return "", nil
}

// rules adds the rules of all hosts to ingress and returns the hosts of each tag.
func rules(ingress *networkingv1alpha1.Ingress, h hosts, t traffic, state rollout.Rollout) (map[string][]string, error) {
	tagged := map[string][]string{}
	for _, tag := range t.tags() {
		for _, inside := range []bool{true, false} {
			if !inside && h.local[tag] {
				continue
			}
			host, err := h.host(tag, inside)
			if err != nil {
				return nil, err
			}
			names := []string{host}
			if inside {
				if names, err = h.insideHosts(tag); err != nil {
					return nil, err
				}
			}
			ingress.Spec.Rules = append(ingress.Spec.Rules, networkingv1alpha1.IngressRule{
				Hosts: names, Visibility: visible(inside), HTTP: &networkingv1alpha1.HTTPIngressRuleValue{Paths: paths(tag, h, t, state)},
			})
			if tag != defaultTag {
				tagged[tag] = append(tagged[tag], host)
			}
		}
	}
	return tagged, nil
}

// paths is where requests to a tag's host go. With header routing, requests to the Route's own host may name a tag.
func paths(tag string, h hosts, t traffic, state rollout.Rollout) []networkingv1alpha1.HTTPIngressPath {
	own := path(tag, h, t, state)
	if !h.config.Features.Enabled(config.TagHeaderBasedRouting) {
		return []networkingv1alpha1.HTTPIngressPath{own}
	}
	if tag != defaultTag {
		own.AppendHeaders = map[string]string{tagHeader: tag}
		return []networkingv1alpha1.HTTPIngressPath{own}
	}
	var all []networkingv1alpha1.HTTPIngressPath
	for _, named := range t.tags() {
		if named == defaultTag {
			continue
		}
		p := path(named, h, t, state)
		p.Headers = map[string]networkingv1alpha1.HeaderMatch{tagHeader: {Exact: named}}
		all = append(all, p)
	}
	own.AppendHeaders = map[string]string{defaultRouteHeader: "true"}
	return append(all, own)
}

// path splits the requests of a tag over its Revisions.
func path(tag string, h hosts, t traffic, state rollout.Rollout) networkingv1alpha1.HTTPIngressPath {
	var p networkingv1alpha1.HTTPIngressPath
	for _, target := range t.byTag[tag] {
		if target.percent == 0 {
			continue
		}
		shares := []rollout.Revision{{Name: target.revision, Percent: int(target.percent)}}
		if c := state.Find(tag, target.configuration); c != nil && target.latest && len(c.Revisions) > 1 {
			shares = c.Revisions
		}
		for _, share := range shares {
			p.Splits = addSplit(p.Splits, split(h, share))
		}
	}
	return p
}

// addSplit adds a backend, or its share to the same backend's: a Revision on its way out may be a target by its name too.
func addSplit(splits []networkingv1alpha1.IngressBackendSplit, s networkingv1alpha1.IngressBackendSplit) []networkingv1alpha1.IngressBackendSplit {
	for i := range splits {
		if splits[i].IngressBackend == s.IngressBackend {
			splits[i].Percent += s.Percent
			return splits
		}
	}
	return append(splits, s)
}

func split(h hosts, share rollout.Revision) networkingv1alpha1.IngressBackendSplit {
	protocol := networking.ProtocolHTTP1
	if r := h.revisions[share.Name]; r != nil {
		protocol = r.Spec.Protocol()
	}
	port, _ := networking.ServicePort(protocol)
	return networkingv1alpha1.IngressBackendSplit{
		IngressBackend: networkingv1alpha1.IngressBackend{
			ServiceNamespace: h.route.Namespace, ServiceName: share.Name, ServicePort: intstr.FromInt32(port),
		},
		Percent:       share.Percent,
		AppendHeaders: map[string]string{networking.RevisionHeader: share.Name, networking.NamespaceHeader: h.route.Namespace},
	}
}

func copied(m map[string]string) map[string]string {
	c := make(map[string]string, len(m)+2)
	for key, value := range m {
		c[key] = value
	}
	return c
}
