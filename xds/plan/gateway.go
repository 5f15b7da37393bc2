package plan

import (
	"sync"
	"time"

	"ebb.dev/ebb/xds/cache"
	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// gateway is one gateway's plan.
type gateway struct {
	all   *Gateways
	id    string
	proxy *cache.Proxy

	mu       sync.Mutex
	clusters map[string]*backend
	// tended are the clusters that time, or an ACK of a virtual host, will change.
	tended map[string]*backend
	// passing lists, by virtual host, the clusters that the pushed version passes requests to.
	passing map[string]map[string]bool
	// users counts, by cluster, the virtual hosts that pass requests to it.
	users map[string]int
	// leftHosts and leftClusters are what the gateway brought from before this control plane and has to give up.
	leftHosts, leftClusters map[string]struct{}
}

func newGateway(all *Gateways, id string) *gateway {
	gw := &gateway{
		all: all, id: id, proxy: all.cache.Proxy(id),
		clusters: map[string]*backend{}, tended: map[string]*backend{},
		passing: map[string]map[string]bool{}, users: map[string]int{},
		leftHosts: map[string]struct{}{}, leftClusters: map[string]struct{}{},
	}
	var listeners, routes []*cache.Row
	for _, l := range all.settings.Listeners {
		owner := model.Owner{Kind: "Gateway", Key: model.Key{Namespace: "ebb-system", Name: string(l.Config)}}
		listeners = append(listeners, mustRow(string(l.Config), owner, l.Listener()))
		routes = append(routes, mustRow(string(l.Config), owner, envoy.RouteConfiguration(l.Config)))
	}
	gw.proxy.Apply(cache.Change{Type: cache.Routes, Put: routes}, cache.Change{Type: cache.Listeners, Put: listeners})
	return gw
}

// prime puts all that the gateway should have, before it is answered, and notes what it has beyond that.
func (gw *gateway) prime() {
	view := gw.all.store.Read()
	touched := &store.Touched{
		VHosts: map[string]struct{}{}, Revisions: map[model.Key]struct{}{}, Services: map[string]struct{}{},
	}
	for _, r := range view.Revisions() {
		touched.Revisions[r.Key] = struct{}{}
	}
	for _, s := range view.Services() {
		touched.Services[s.Cluster.Name] = struct{}{}
	}
	for _, v := range view.VHosts() {
		touched.VHosts[v.Name] = struct{}{}
	}
	for _, name := range gw.proxy.Known(cache.VirtualHosts) {
		touched.VHosts[name] = struct{}{}
	}
	gw.follow(view, touched)
	gw.mu.Lock()
	defer gw.mu.Unlock()
	for _, name := range gw.proxy.Known(cache.Clusters) {
		if ours(name) && gw.proxy.Put(cache.Clusters, name) == "" {
			gw.leftClusters[name] = struct{}{}
		}
	}
}

// follow acts on a change of the store.
func (gw *gateway) follow(view store.View, touched *store.Touched) {
	gw.mu.Lock()
	var more []string
	hosts := touched.VHosts
	if len(touched.Revisions)+len(touched.Services) > 0 {
		hosts = make(map[string]struct{}, len(touched.VHosts)+2)
		for name := range touched.VHosts {
			hosts[name] = struct{}{}
		}
	}
	sync := func(name string) {
		if gw.syncCluster(view, name, false) {
			more = append(more, name)
		}
		for _, vhost := range view.VHostsUsing(name) {
			hosts[vhost.Name] = struct{}{}
		}
	}
	for key := range touched.Revisions {
		for _, name := range gw.clustersOf(view, key) {
			sync(name)
		}
	}
	for name := range touched.Services {
		sync(name)
	}
	gw.syncVHosts(view, hosts)
	gw.mu.Unlock()
	gw.tell(more)
}

func (gw *gateway) tell(clusters []string) {
	if gw.all.OnReady == nil {
		return
	}
	for _, name := range clusters {
		gw.all.OnReady(gw.id, name)
	}
}

// clustersOf names the clusters of a revision here: its present one, and one of another protocol that it had before.
func (gw *gateway) clustersOf(view store.View, key model.Key) []string {
	names := []string{model.ClusterName(key, model.HTTP1), model.ClusterName(key, model.H2C)}
	out := names[:0]
	revision, exists := view.Revision(key)
	for _, name := range names {
		_, here := gw.clusters[name]
		if here || (exists && name == model.ClusterName(key, revision.Protocol)) {
			out = append(out, name)
		}
	}
	return out
}

// carriesOn reports whether a gateway that passed requests to a cluster before this control plane started may go on
// doing so until our version of its endpoints is accepted: some replica is ready.
func (gw *gateway) carriesOn(view store.View, vhost string, split model.Split, b *backend) bool {
	accepted := gw.proxy.Acked(cache.Endpoints, split.Cluster)
	if _, ours := b.versions[accepted]; ours || accepted == "" || gw.proxy.Acked(cache.VirtualHosts, vhost) == "" {
		return false
	}
	for _, replica := range view.ReplicasOf(split.Revision) {
		if replica.Ready() {
			return true
		}
	}
	return false
}

// syncVHosts makes virtual hosts at this gateway what they should be, all in one step: a host that moves from one to
// another is never in both or in none.
func (gw *gateway) syncVHosts(view store.View, names map[string]struct{}) {
	change := cache.Change{Type: cache.VirtualHosts}
	for name := range names {
		row, passing := gw.desiredVHost(view, name)
		switch {
		case row == nil:
			if gw.proxy.Put(cache.VirtualHosts, name) != "" || gw.proxy.Has(cache.VirtualHosts, name) {
				change.Delete = append(change.Delete, name)
				if gw.passing[name] == nil {
					gw.leftHosts[name] = struct{}{}
				}
			}
		case gw.proxy.Put(cache.VirtualHosts, name) != row.Version:
			change.Put = append(change.Put, row)
		}
		gw.setPassing(name, passing)
	}
	if len(change.Put)+len(change.Delete) > 0 {
		gw.proxy.Apply(change)
	}
}

// desiredVHost is a virtual host as it should be here and the clusters that it passes requests to, or nil for none.
func (gw *gateway) desiredVHost(view store.View, name string) (*cache.Row, map[string]bool) {
	vhost, exists := view.VHost(name)
	if !exists {
		return nil, nil
	}
	pushed, passing := gw.passing[name], map[string]bool{}
	out, any := Variant(vhost, func(split model.Split) bool {
		pass := gw.passes(view, name, split, pushed[split.Cluster])
		if pass {
			passing[split.Cluster] = true
		}
		return pass
	})
	if !any {
		return nil, nil
	}
	return mustRow(out.Name, out.Owner, envoy.VirtualHost(*out)), passing
}

// setPassing notes the clusters that the pushed version of a virtual host passes requests to. A cluster that it does so
// no more is left by it: until the gateway has accepted that, requests still come.
func (gw *gateway) setPassing(vhost string, passing map[string]bool) {
	for cluster := range gw.passing[vhost] {
		if gw.users[cluster]--; gw.users[cluster] == 0 {
			delete(gw.users, cluster)
		}
		if b, here := gw.clusters[cluster]; here && !passing[cluster] {
			b.left[vhost] = struct{}{}
		}
	}
	for cluster := range passing {
		gw.users[cluster]++
	}
	if len(passing) == 0 {
		delete(gw.passing, vhost)
		return
	}
	gw.passing[vhost] = passing
}

func (gw *gateway) passesTo(cluster string) bool {
	gw.mu.Lock()
	defer gw.mu.Unlock()
	return gw.users[cluster] > 0
}

// passes decides whether a share's requests go on without asking the hold. A share that passes already goes on passing
// while others wait, and one that is held passes only once nobody waits: those who came first go first.
func (gw *gateway) passes(view store.View, vhost string, split model.Split, already bool) bool {
	b, here := gw.clusters[split.Cluster]
	if !here || (b.ready == 0 && !gw.carriesOn(view, vhost, split, b)) {
		return false
	}
	if split.Revision.IsZero() {
		return true
	}
	revision, ok := view.Revision(split.Revision)
	if !ok || revision.Asleep || revision.AlwaysHeld {
		return false
	}
	return already || !gw.all.queue.Waiting(split.Revision)
}

// catchUp acts on what the gateway's ledger reported, and returns when it wants to be looked at again.
func (gw *gateway) catchUp(now time.Time) time.Duration {
	moved := gw.proxy.TakeMoved()
	view := gw.all.store.Read()
	gw.mu.Lock()
	var more []string
	hosts := map[string]struct{}{}
	names := map[string]struct{}{}
	for _, typ := range []cache.Type{cache.Clusters, cache.Endpoints} {
		for name := range moved[typ] {
			names[name] = struct{}{}
		}
	}
	for name := range names {
		b, here := gw.clusters[name]
		if !here {
			continue
		}
		b.forgetOlder(gw.proxy.Acked(cache.Endpoints, name), gw.proxy.Put(cache.Endpoints, name))
		was := b.ready
		b.ready = gw.readyAt(view, b, name)
		if (b.ready > 0) != (was > 0) {
			for _, vhost := range view.VHostsUsing(name) {
				hosts[vhost.Name] = struct{}{}
			}
		}
		if b.ready > was {
			more = append(more, name)
		}
	}
	gw.syncVHosts(view, hosts)
	next := gw.sweep(view, now)
	gw.mu.Unlock()
	gw.tell(more)
	return next
}
