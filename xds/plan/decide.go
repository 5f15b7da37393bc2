package plan

import (
	"sort"

	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// Variant returns the virtual host as a gateway should have it now: shares that do not pass are held. It reports false
// when nothing of its own passes; then the catch-all serves the host and every request asks the hold.
func Variant(vhost *model.VHost, passes func(model.Split) bool) (*model.VHost, bool) {
	out := *vhost
	out.Routes = make([]model.Route, len(vhost.Routes))
	any := false
	for i, route := range vhost.Routes {
		splits := make([]model.Split, len(route.Splits))
		for j, split := range route.Splits {
			pass := passes(split)
			split.Hold = !pass
			any = any || (pass && split.Weight > 0 && !route.Aside)
			splits[j] = split
		}
		route.Splits = splits
		out.Routes[i] = route
	}
	return &out, any
}

// RevisionCluster is how gateways reach a revision.
func RevisionCluster(trustDomain string, revision model.Revision) model.Cluster {
	return model.Cluster{
		Name: model.ClusterName(revision.Key, revision.Protocol), Revision: revision.Key, Protocol: revision.Protocol,
		Owner:      model.Owner{Kind: "Revision", Key: revision.Key},
		Identities: []string{model.WorkloadID(trustDomain, revision.Key.Namespace, revision.ServiceAccount)},
	}
}

// Endpoints lists a revision's addresses for its gateways' cluster. Replicas that are not ready are left out, with one
// exception: while none is ready, the first to come is listed already. Nothing reaches it before the hold lets go, which
// waits for its readiness, and then no gateway needs to be told anything first.
func Endpoints(cluster string, replicas []*store.Replica) model.Endpoints {
	out := model.Endpoints{Cluster: cluster}
	var next *store.Replica
	ready := false
	for _, r := range replicas {
		if r.Listen.Host == "" || r.Failing != "" {
			continue
		}
		switch {
		case r.Ready():
			ready = true
			out.Items = append(out.Items, endpoint(r, model.Healthy))
		case r.Answers && (r.Draining || r.Terminating):
			out.Items = append(out.Items, endpoint(r, model.Draining))
		case !r.Draining && !r.Terminating && (next == nil || sooner(r, next)):
			next = r
		}
	}
	if !ready && next != nil {
		out.Items = append(out.Items, endpoint(next, model.Healthy))
	}
	sort.Slice(out.Items, func(i, j int) bool {
		a, b := out.Items[i], out.Items[j]
		if a.Address != b.Address {
			return a.Address < b.Address
		}
		return a.Port < b.Port
	})
	return out
}

// sooner reports whether a is likely to be ready before b.
func sooner(a, b *store.Replica) bool {
	if a.Answers != b.Answers {
		return a.Answers
	}
	if a.Programmed != b.Programmed {
		return a.Programmed
	}
	return a.Pod.Name < b.Pod.Name
}

func endpoint(r *store.Replica, health model.Health) model.Endpoint {
	return model.Endpoint{Replica: r.Pod, Address: r.Listen.Host, Port: r.Listen.Port, Health: health}
}

// countReady counts the accepted endpoints behind which a replica is ready now.
func countReady(accepted model.Endpoints, replicas []*store.Replica) int {
	ready := make(map[model.Key]model.Address, len(replicas))
	for _, r := range replicas {
		if r.Ready() {
			ready[r.Pod] = r.Listen
		}
	}
	n := 0
	for _, item := range accepted.Items {
		if item.Health == model.Healthy && ready[item.Replica] == (model.Address{Host: item.Address, Port: item.Port}) {
			n++
		}
	}
	return n
}
