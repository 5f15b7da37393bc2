package plan

import (
	"math"
	"time"

	"ebb.dev/ebb/xds/cache"
	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// backend is a cluster at one gateway.
type backend struct {
	cluster model.Cluster
	// versions are the endpoints that were put, by row version, back to the one accepted last.
	versions map[string]model.Endpoints
	// ready counts the ready endpoints that the gateway has accepted.
	ready int
	// left are the virtual hosts that passed requests to the cluster and may not have accepted yet that they do so no more.
	left map[string]struct{}
	// primedUntil keeps the cluster for a revision that has no replica yet; zero when nobody asked for that.
	primedUntil time.Time
	// unusedSince is when nothing wanted the cluster any more; zero while something does.
	unusedSince time.Time
	// lateSince is when the endpoints that should be put were first kept back; zero while none are.
	lateSince time.Time
}

// backend returns the cluster's plan, and makes it if need be.
func (gw *gateway) backend(name string) *backend {
	b, here := gw.clusters[name]
	if !here {
		b = &backend{versions: map[string]model.Endpoints{}, left: map[string]struct{}{}}
		gw.clusters[name] = b
	}
	return b
}

// note keeps tended true: it lists the clusters of which something is to be done later.
func (gw *gateway) note(name string, b *backend) {
	if b.primedUntil.IsZero() && b.unusedSince.IsZero() && b.lateSince.IsZero() {
		delete(gw.tended, name)
		return
	}
	gw.tended[name] = b
}

// syncCluster makes the cluster and its endpoints at this gateway what they should be, and reports whether the gateway
// reaches more replicas than before. Endpoints of which none is ready wait until no virtual host passes requests to the
// cluster any more, unless forced: who came before that is still answered by those that were ready.
func (gw *gateway) syncCluster(view store.View, name string, force bool) bool {
	cluster, items, wanted := gw.desired(view, name)
	if _, here := gw.clusters[name]; !here && !wanted {
		return false
	}
	b := gw.backend(name)
	defer gw.note(name, b)
	now := gw.all.settings.Now()
	switch {
	case cluster.Name != "" && wanted:
		b.cluster, b.unusedSince = cluster, time.Time{}
	case b.unusedSince.IsZero():
		b.unusedSince = now
	}
	if b.cluster.Name != "" {
		late := !force && gw.proxy.Has(cache.Clusters, name) && !gw.usable(view, name, items) && gw.pointedAt(name, b)
		gw.put(b, items, !late)
		switch {
		case !late:
			b.lateSince = time.Time{}
		case b.lateSince.IsZero():
			b.lateSince = now
		}
	}
	was := b.ready
	b.ready = gw.readyAt(view, b, name)
	return b.ready > was
}

// usable reports whether requests that these endpoints get are answered.
func (gw *gateway) usable(view store.View, name string, items model.Endpoints) bool {
	key, _, err := model.ParseClusterName(name)
	// A plain service has no hold: its gateway says itself when nobody is there.
	return err != nil || countReady(items, view.ReplicasOf(key)) > 0
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

// put sends the cluster, and its endpoints too if they are not to wait.
func (gw *gateway) put(b *backend, items model.Endpoints, endpoints bool) {
	row := mustRow(b.cluster.Name, b.cluster.Owner, envoy.Cluster(gw.all.settings.Envoy, b.cluster))
	var changes []cache.Change
	if gw.proxy.Put(cache.Clusters, row.Name) != row.Version {
		changes = append(changes, cache.Change{Type: cache.Clusters, Put: []*cache.Row{row}})
	}
	if endpoints {
		assignment := mustRow(items.Cluster, b.cluster.Owner, envoy.Endpoints(items))
		if gw.proxy.Put(cache.Endpoints, assignment.Name) != assignment.Version {
			b.versions[assignment.Version] = items
			changes = append(changes, cache.Change{Type: cache.Endpoints, Put: []*cache.Row{assignment}})
		}
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

// pointedAt reports whether a virtual host that this gateway has, or is being sent, may pass requests to the cluster.
func (gw *gateway) pointedAt(name string, b *backend) bool {
	if gw.users[name] > 0 || gw.hasLeftHosts() {
		return true
	}
	for vhost := range b.left {
		if !gw.proxy.Current(cache.VirtualHosts, vhost) {
			return true
		}
		delete(b.left, vhost)
	}
	return false
}

// hasLeftHosts reports whether the gateway has, or may have, virtual hosts of which only it knows where they point.
func (gw *gateway) hasLeftHosts() bool {
	if !gw.proxy.Asked(cache.VirtualHosts) {
		return true
	}
	for name := range gw.leftHosts {
		if gw.passing[name] != nil || gw.proxy.Current(cache.VirtualHosts, name) {
			delete(gw.leftHosts, name)
		}
	}
	return len(gw.leftHosts) > 0
}

// sweep does what is due: it deletes clusters that nothing wants, once nothing the gateway has points at them, those too
// that it brought from before, and puts endpoints that waited. It returns when to look again.
func (gw *gateway) sweep(view store.View, now time.Time) time.Duration {
	next := time.Hour
	for name, b := range gw.tended {
		next = min(next, gw.tend(view, name, b, now))
	}
	if len(gw.leftClusters) > 0 && !gw.hasLeftHosts() {
		change := cache.Change{Type: cache.Clusters}
		for name := range gw.leftClusters {
			if gw.proxy.Put(cache.Clusters, name) == "" {
				change.Delete = append(change.Delete, name)
			}
		}
		gw.proxy.Apply(change)
		clear(gw.leftClusters)
	}
	return next
}

// tend does what time and ACKs bring for one cluster, and returns when to look at it again.
func (gw *gateway) tend(view store.View, name string, b *backend, now time.Time) time.Duration {
	linger, quorum := gw.all.settings.Linger, gw.all.settings.Quorum
	if !b.lateSince.IsZero() {
		wait := b.lateSince.Add(quorum).Sub(now)
		if wait > 0 && gw.pointedAt(name, b) {
			return wait
		}
		gw.syncCluster(view, name, true)
	}
	if !b.primedUntil.IsZero() && b.unusedSince.IsZero() {
		if wait := b.primedUntil.Sub(now); wait > 0 {
			return wait
		}
		b.primedUntil = time.Time{}
		gw.syncCluster(view, name, false)
	}
	if b.unusedSince.IsZero() {
		return time.Hour
	}
	if wait := b.unusedSince.Add(linger).Sub(now); wait > 0 {
		return wait
	}
	if gw.pointedAt(name, b) {
		return linger
	}
	gw.proxy.Apply(
		cache.Change{Type: cache.Clusters, Delete: []string{name}},
		cache.Change{Type: cache.Endpoints, Delete: []string{name}},
	)
	delete(gw.clusters, name)
	delete(gw.tended, name)
	return time.Hour
}

func (gw *gateway) primeCluster(name string, until time.Time) {
	view := gw.all.store.Read()
	gw.mu.Lock()
	b := gw.backend(name)
	if until.After(b.primedUntil) {
		b.primedUntil = until
	}
	became := gw.syncCluster(view, name, false)
	gw.mu.Unlock()
	if became {
		gw.tell([]string{name})
	}
}

// putLate puts a cluster's endpoints as they are now, whether anything still points at it or not.
func (gw *gateway) putLate(name string) {
	view := gw.all.store.Read()
	gw.mu.Lock()
	became := false
	if b, here := gw.clusters[name]; here && !b.lateSince.IsZero() {
		became = gw.syncCluster(view, name, true)
	}
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
