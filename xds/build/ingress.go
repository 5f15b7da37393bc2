package build

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"ebb.dev/ebb/crds/networking"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	"ebb.dev/ebb/xds/model"
)

// IngressKind is the kind of a KIngress.
const IngressKind = "Ingress"

// IngressOwner names a KIngress as the owner of what is made from it.
func IngressOwner(ingress *networkingv1alpha1.Ingress) model.Owner {
	return model.Owner{Kind: IngressKind, Key: model.Key{Namespace: ingress.Namespace, Name: ingress.Name}}
}

// Backend is a plain Kubernetes Service port that an ingress routes to.
type Backend struct {
	Service model.Key
	Port    intstr.IntOrString
}

// Cluster is the backend's cluster name.
func (b Backend) Cluster() string { return model.ServiceClusterName(b.Service, b.Port.String()) }

// VHosts are an ingress's virtual hosts: hosts that share all of their rules share one. It also lists the plain services
// that they route to. Rules of visibility ClusterLocal are served to pods only, all others to the outside only. With later, a Route's
// requests may be answered later: AsyncBackend takes those.
func VHosts(ingress *networkingv1alpha1.Ingress, later bool) ([]*model.VHost, []Backend) {
	owner := IngressOwner(ingress)
	type group struct {
		config model.RouteConfig
		hosts  []string
		rules  []int
	}
	rulesOf := map[string][]int{}
	var hosts []string
	for i, rule := range ingress.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, host := range rule.Hosts {
			at := string(config(rule)) + "/" + strings.ToLower(host)
			if _, seen := rulesOf[at]; !seen {
				hosts = append(hosts, at)
			}
			rulesOf[at] = append(rulesOf[at], i)
		}
	}
	groups := map[string]*group{}
	var order []string
	for _, at := range hosts {
		where, host, _ := strings.Cut(at, "/")
		key := fmt.Sprint(where, rulesOf[at])
		g, ok := groups[key]
		if !ok {
			g = &group{config: model.RouteConfig(where), rules: rulesOf[at]}
			groups[key] = g
			order = append(order, key)
		}
		g.hosts = append(g.hosts, host)
	}
	var out []*model.VHost
	plain := map[Backend]bool{}
	var backends []Backend
	for _, key := range order {
		g := groups[key]
		vhost := &model.VHost{
			Name: model.VHostName(g.config, g.hosts[0]), Config: g.config, Owner: owner,
			Since: ingress.CreationTimestamp.Time, Domains: g.hosts,
		}
		add := func(services ...Backend) {
			for _, b := range services {
				if !plain[b] {
					plain[b] = true
					backends = append(backends, b)
				}
			}
		}
		for _, i := range g.rules {
			for _, path := range ingress.Spec.Rules[i].HTTP.Paths {
				route, services := routeOf(path)
				vhost.Routes = append(vhost.Routes, route)
				add(services...)
			}
		}
		mostSpecificFirst(vhost.Routes)
		if aside := asyncRoutes(ingress, g.rules[0]); later && len(aside) > 0 {
			vhost.Routes = append(aside, vhost.Routes...)
			add(AsyncBackend)
		}
		out = append(out, vhost)
	}
	return out, backends
}

func config(rule networkingv1alpha1.IngressRule) model.RouteConfig {
	if rule.Visibility == networkingv1alpha1.IngressVisibilityClusterLocal {
		return model.Internal
	}
	return model.External
}

// mostSpecificFirst orders routes as users expect prefixes to match: the longest path, then the most headers, then as written.
func mostSpecificFirst(routes []model.Route) {
	sort.SliceStable(routes, func(i, j int) bool {
		a, b := routes[i], routes[j]
		if len(a.PathPrefix) != len(b.PathPrefix) {
			return len(a.PathPrefix) > len(b.PathPrefix)
		}
		return len(a.Headers) > len(b.Headers)
	})
}

func routeOf(path networkingv1alpha1.HTTPIngressPath) (model.Route, []Backend) {
	route := model.Route{PathPrefix: path.Path, RewriteHost: path.RewriteHost, AppendHeaders: headers(path.AppendHeaders)}
	if route.PathPrefix == "" {
		route.PathPrefix = "/"
	}
	exact := make(map[string]string, len(path.Headers))
	for name, match := range path.Headers {
		exact[name] = match.Exact
	}
	route.Headers = headers(exact)
	var backends []Backend
	for _, split := range path.Splits {
		weight := uint32(max(split.Percent, 0))
		if len(path.Splits) == 1 && split.Percent == 0 {
			weight = 100
		}
		out := model.Split{Weight: weight, AppendHeaders: headers(split.AppendHeaders)}
		if revision, ok := revisionOf(split); ok {
			// What told Knative's activator no replica of ours has to be told; Knative's own proxies take it off before the app.
			out.AppendHeaders = slices.DeleteFunc(out.AppendHeaders, func(h model.Header) bool {
				return h.Name == networking.RevisionHeader || h.Name == networking.NamespaceHeader
			})
			out.Revision = revision
			out.Cluster = model.ClusterName(revision, protocolOf(split.ServicePort))
		} else {
			// One way of writing a port, so that one cluster is one backend.
			port := intstr.Parse(split.ServicePort.String())
			backend := Backend{Service: model.Key{Namespace: split.ServiceNamespace, Name: split.ServiceName}, Port: port}
			out.Cluster = backend.Cluster()
			backends = append(backends, backend)
		}
		route.Splits = append(route.Splits, out)
	}
	return route, backends
}

// revisionOf tells a revision's Service from any other: the Route says so in the headers it has the split append.
func revisionOf(split networkingv1alpha1.IngressBackendSplit) (model.Key, bool) {
	if split.AppendHeaders[networking.RevisionHeader] != split.ServiceName || split.AppendHeaders[networking.NamespaceHeader] != split.ServiceNamespace {
		return model.Key{}, false
	}
	return model.Key{Namespace: split.ServiceNamespace, Name: split.ServiceName}, split.ServiceName != ""
}

// protocolOf reads a revision's protocol from the port of its Service.
func protocolOf(port intstr.IntOrString) model.Protocol {
	h2c := port.IntVal == networking.ServiceHTTP2Port || port.StrVal == networking.ServicePortNameH2C
	if h2c {
		return model.H2C
	}
	return model.HTTP1
}

// headers are a map's entries in the order of their names.
func headers(from map[string]string) []model.Header {
	if len(from) == 0 {
		return nil
	}
	out := make([]model.Header, 0, len(from))
	for name, value := range from {
		out = append(out, model.Header{Name: name, Value: value})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
