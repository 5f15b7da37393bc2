package broker

import (
	"net/http"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/eventing/exposure"
	"ebb.dev/ebb/eventing/ingress"
)

// hosted is a kind all of whose objects are reached by one host, each by its path.
type hosted struct {
	// names are those of the host.
	names []string
	// kind is an empty object of it.
	kind client.Object
	// handler answers what comes for its objects.
	handler http.Handler
}

// hosts has what comes for a host answered for a kind.
func (p *process) hosts(h exposure.Host, kind client.Object, handler http.Handler) {
	p.hosted = append(p.hosted, hosted{names: h.Names(p.ClusterDomain, p.Domain), kind: kind, handler: handler})
}

// at finds the kind whose objects are reached by a host, with or without a port; nil if that is none of those.
func (p *process) at(host string) *hosted {
	host = ingress.Hostname(host)
	for i := range p.hosted {
		if slices.Contains(p.hosted[i].names, host) {
			return &p.hosted[i]
		}
	}
	return nil
}

// byHost answers for the kinds that have a host of their own, and leaves the rest to events.
func (p *process) byHost(events http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := p.at(r.Host); h != nil {
			h.handler.ServeHTTP(w, r)
			return
		}
		events.ServeHTTP(w, r)
	})
}
