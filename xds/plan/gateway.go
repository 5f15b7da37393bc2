package plan

import (
	"errors"
	"math"
	"strings"
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
	// passing lists, by virtual host, the clusters that the pushed version passes requests to.
	passing map[string]map[string]bool
	// users counts, by cluster, the virtual hosts that pass requests to it.
	users map[string]int
}

// backend is a cluster at this gateway.
type backend struct {
	cluster model.Cluster
	// versions are the endpoints that were put, by row version, back to the one accepted last.
	versions map[string]model.Endpoints
	// ready counts the ready endpoints that the gateway has accepted.
	ready int
	// primedUntil keeps the cluster for a revision that has no replica yet.
	primedUntil time.Time
	// unusedSince is when nothing wanted the cluster any more; zero while something does.
	unusedSince time.Time
}

func newGateway(all *Gateways, id string) *gateway {
	gw := &gateway{
		all: all, id: id, proxy: all.cache.Proxy(id),
		clusters: map[string]*backend{}, passing: map[string]map[string]bool{}, users: map[string]int{},
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

// prime puts all that the gateway should have, before it is answered.
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
	gw.follow(view, touched)
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
	for key := range touched.Revisions {
		for _, name := range gw.clustersOf(view, key) {
			if gw.syncCluster(view, name) {
				more = append(more, name)
			}
			for _, vhost := range view.VHostsUsing(name) {
				hosts[vhost.Name] = struct{}{}
			}
		}
	}
	for name := range touched.Services {
		if gw.syncCluster(view, name) {
			more = append(more, name)
		}
		for _, vhost := range view.VHostsUsing(name) {
			hosts[vhost.Name] = struct{}{}
		}
	}
	for name := range hosts {
		gw.syncVHost(view, name)
	}
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

// syncCluster makes the cluster and its endpoints at this gateway what they should be, and reports whether the gateway
// reaches more replicas than before.
func (gw *gateway) syncCluster(view store.View, name string) bool {
	cluster, items, wanted := gw.desired(view, name)
	b, here := gw.clusters[name]
	if !here {
		if !wanted {
			return false
		}
		b = &backend{versions: map[string]model.Endpoints{}}
		gw.clusters[name] = b
	}
	if cluster.Name != "" && wanted {
		b.cluster = cluster
		b.unusedSince = time.Time{}
		gw.put(b, items)
	} else {
		if b.unusedSince.IsZero() {
			b.unusedSince = gw.all.settings.Now()
		}
		if b.cluster.Name != "" {
			gw.put(b, items)
		}
	}
	was := b.ready
	b.ready = gw.readyAt(view, b, name)
	return b.ready > was
}

// desired says what a cluster should be, and whether it is wanted at all.
func (gw *gateway) desired(view store.View, name string) (model.Cluster, model.Endpoints, bool) {
	if service, ok := view.Service(name); ok {
		return service.Cluster, service.Endpoints, len(view.VHostsUsing(name)) > 0
	}
	empty := model.Endpoints{Cluster: name}
	key, protocol, err := model.ParseClusterName(name)
	if err != nil {
		return model.Cluster{}, empty, false
	}
	revision, ok := view.Revision(key)
	if !ok || revision.Protocol != protocol {
		return model.Cluster{}, empty, false
	}
	cluster := RevisionCluster(gw.all.settings.Envoy.TrustDomain, revision.Revision)
	replicas := view.ReplicasOf(key)
	b, here := gw.clusters[name]
	primed := here && gw.all.settings.Now().Before(b.primedUntil)
	return cluster, Endpoints(name, replicas), primed || len(replicas) > 0
}

func (gw *gateway) put(b *backend, items model.Endpoints) {
	row := mustRow(b.cluster.Name, b.cluster.Owner, envoy.Cluster(gw.all.settings.Envoy, b.cluster))
	assignment := mustRow(items.Cluster, b.cluster.Owner, envoy.Endpoints(items))
	var changes []cache.Change
	if gw.proxy.Put(cache.Clusters, row.Name) != row.Version {
		changes = append(changes, cache.Change{Type: cache.Clusters, Put: []*cache.Row{row}})
	}
	if gw.proxy.Put(cache.Endpoints, assignment.Name) != assignment.Version {
		b.versions[assignment.Version] = items
		changes = append(changes, cache.Change{Type: cache.Endpoints, Put: []*cache.Row{assignment}})
	}
	if len(changes) > 0 {
		gw.proxy.Apply(changes...)
	}
}

// readyAt counts the ready endpoints among what the gateway has accepted.
func (gw *gateway) readyAt(view store.View, b *backend, name string) int {
	accepted := gw.proxy.Acked(cache.Endpoints, name)
	if accepted == "" || gw.proxy.Acked(cache.Clusters, name) == "" {
		return 0
	}
	if _, plain := view.Service(name); plain {
		// A plain service has no hold: its gateway says itself when nobody is there.
		return math.MaxInt32
	}
	key, _, err := model.ParseClusterName(name)
	if err != nil {
		return 0
	}
	revision, exists := view.Revision(key)
	if !exists || revision.Asleep {
		// Its replicas may be on their way out.
		return 0
	}
	// A version from before this control plane says nothing until ours is accepted.
	return countReady(b.versions[accepted], view.ReplicasOf(key))
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

// syncVHost makes a virtual host at this gateway what it should be.
func (gw *gateway) syncVHost(view store.View, name string) {
	vhost, exists := view.VHost(name)
	if exists {
		pushed, passing := gw.passing[name], map[string]bool{}
		out, any := Variant(vhost, func(split model.Split) bool {
			pass := gw.passes(view, name, split, pushed[split.Cluster])
			if pass {
				passing[split.Cluster] = true
			}
			return pass
		})
		if any {
			row := mustRow(out.Name, out.Owner, envoy.VirtualHost(*out))
			if gw.proxy.Put(cache.VirtualHosts, name) != row.Version {
				gw.proxy.Apply(cache.Change{Type: cache.VirtualHosts, Put: []*cache.Row{row}})
			}
			gw.setPassing(name, passing)
			return
		}
	}
	gw.setPassing(name, nil)
	if gw.proxy.Put(cache.VirtualHosts, name) != "" || gw.proxy.Has(cache.VirtualHosts, name) {
		gw.proxy.Apply(cache.Change{Type: cache.VirtualHosts, Delete: []string{name}})
	}
}

func (gw *gateway) setPassing(vhost string, passing map[string]bool) {
	for cluster := range gw.passing[vhost] {
		if gw.users[cluster]--; gw.users[cluster] == 0 {
			delete(gw.users, cluster)
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
	for name := range hosts {
		gw.syncVHost(view, name)
	}
	next := gw.sweep(view, now)
	gw.mu.Unlock()
	gw.tell(more)
	return next
}

// forgetOlder keeps the endpoints of the accepted version and of the one on its way.
func (b *backend) forgetOlder(accepted, put string) {
	if _, known := b.versions[accepted]; !known {
		return
	}
	for version := range b.versions {
		if version != accepted && version != put {
			delete(b.versions, version)
		}
	}
}

// sweep deletes clusters that nothing wants, once nothing the gateway has points at them, and what the gateway brought
// from before that no longer exists. It returns when to look again.
func (gw *gateway) sweep(view store.View, now time.Time) time.Duration {
	next := time.Hour
	linger := gw.all.settings.Linger
	for name, b := range gw.clusters {
		if !b.primedUntil.IsZero() && b.unusedSince.IsZero() {
			if wait := b.primedUntil.Sub(now); wait > 0 {
				next = min(next, wait)
				continue
			}
			b.primedUntil = time.Time{}
			gw.syncCluster(view, name)
		}
		if b.unusedSince.IsZero() {
			continue
		}
		if wait := b.unusedSince.Add(linger).Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		if gw.pointedAt(name) {
			next = min(next, linger)
			continue
		}
		gw.proxy.Apply(
			cache.Change{Type: cache.Clusters, Delete: []string{name}},
			cache.Change{Type: cache.Endpoints, Delete: []string{name}},
		)
		delete(gw.clusters, name)
	}
	if gw.sweepLeftovers() {
		next = min(next, linger)
	}
	return next
}

// pointedAt reports whether a virtual host that this gateway has, or is being sent, passes requests to the cluster.
func (gw *gateway) pointedAt(cluster string) bool {
	return gw.users[cluster] > 0 || !gw.proxy.Synced(cache.VirtualHosts)
}

// sweepLeftovers deletes what a gateway brought from before this control plane and nobody put again: virtual hosts
// first, clusters when those are gone. It reports whether something is left to do.
func (gw *gateway) sweepLeftovers() bool {
	if !gw.proxy.Connected() {
		return false
	}
	left := false
	for _, name := range gw.proxy.Known(cache.VirtualHosts) {
		if gw.proxy.Put(cache.VirtualHosts, name) == "" && gw.proxy.Acked(cache.VirtualHosts, name) != "" {
			left = true
			gw.proxy.Apply(cache.Change{Type: cache.VirtualHosts, Delete: []string{name}})
		}
	}
	for _, name := range gw.proxy.Known(cache.Clusters) {
		if !strings.Contains(name, "|") || gw.proxy.Put(cache.Clusters, name) != "" {
			continue
		}
		left = true
		if gw.proxy.Synced(cache.VirtualHosts) {
			gw.proxy.Apply(cache.Change{Type: cache.Clusters, Delete: []string{name}})
		}
	}
	return left
}

func (gw *gateway) primeCluster(name string, until time.Time) {
	view := gw.all.store.Read()
	gw.mu.Lock()
	b, here := gw.clusters[name]
	if !here {
		b = &backend{versions: map[string]model.Endpoints{}}
		gw.clusters[name] = b
	}
	if until.After(b.primedUntil) {
		b.primedUntil = until
	}
	became := gw.syncCluster(view, name)
	gw.mu.Unlock()
	if became {
		gw.tell([]string{name})
	}
}

func (gw *gateway) ready(cluster string) int {
	gw.mu.Lock()
	defer gw.mu.Unlock()
	if b, ok := gw.clusters[cluster]; ok {
		return b.ready
	}
	return 0
}

func asRefusal(err error, refusal *cache.Refusal) bool { return errors.As(err, refusal) }
