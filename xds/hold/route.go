package hold

import (
	"net"
	"strings"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/xds/model"
)

// Request is what a gateway tells of a request.
type Request struct {
	Gateway string
	// ID is the request's x-request-id; the same request asked about again has the same.
	ID     string
	Config model.RouteConfig
	Host   string
	Path   string
	// Header returns a header's value by lower-case name.
	Header func(string) string
	// Revision is set when Envoy has picked already (the cold share of an active virtual host).
	Revision model.Key
}

// Choice is where a request goes.
type Choice struct {
	Cluster  string
	Revision model.Key
	// Set are the headers that the route would have set.
	Set []model.Header
	// RewriteHost replaces the Host header when not empty.
	RewriteHost string
}

// HostName is a Host header without its port, in lower case.
func HostName(authority string) string {
	host := authority
	if h, _, err := net.SplitHostPort(authority); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// Match finds the route of a request in a virtual host, the way Envoy does: the first whose path prefix and headers fit.
func Match(vhost *model.VHost, request Request) (model.Route, bool) {
	path, _, _ := strings.Cut(request.Path, "?")
	for _, route := range vhost.Routes {
		if strings.HasPrefix(path, route.PathPrefix) && headersFit(route.Headers, request.Header) && preferenceFits(route.Prefer, request.Header) {
			return route, true
		}
	}
	return model.Route{}, false
}

func headersFit(wanted []model.Header, header func(string) string) bool {
	for _, h := range wanted {
		if header(strings.ToLower(h.Name)) != h.Value {
			return false
		}
	}
	return true
}

func preferenceFits(wanted model.Preference, header func(string) string) bool {
	return wanted.Name == "" || wanted.Name.In(header(strings.ToLower(async.PreferHeader))) != wanted.Absent
}

// Pick chooses a split by weight; dice is in [0, 1).
func Pick(route model.Route, dice float64) (Choice, bool) {
	total := route.Weight()
	if total == 0 {
		return Choice{}, false
	}
	at := uint32(dice * float64(total))
	for _, split := range route.Splits {
		if at < split.Weight {
			return Choice{
				Cluster: split.Cluster, Revision: split.Revision, RewriteHost: route.RewriteHost,
				Set: append(append([]model.Header(nil), route.AppendHeaders...), split.AppendHeaders...),
			}, true
		}
		at -= split.Weight
	}
	return Choice{}, false
}

// serves reports whether the route still gives the cluster a share.
func serves(route model.Route, cluster string) bool {
	for _, split := range route.Splits {
		if split.Cluster == cluster && split.Weight > 0 {
			return true
		}
	}
	return false
}
