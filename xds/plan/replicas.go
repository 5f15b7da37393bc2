package plan

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"ebb.dev/ebb/xds/cache"
	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// Replicas plans for all replica proxies: sidecars and node proxies alike.
type Replicas struct {
	options envoy.Options
	cache   *cache.Cache
	store   *store.Store
	now     func() time.Time

	mu      sync.Mutex
	proxies map[string]*replicaProxy
	// placed is what was put last for each pod, and at which proxy.
	placed map[model.Key]model.Replica

	// movedMu guards moved, the proxies whose ledger has moved. It is taken under a proxy's lock.
	movedMu sync.Mutex
	moved   map[string]struct{}
	wake    chan struct{}
}

// replicaProxy is a replica proxy's rows, how many pods they serve, and as whom.
type replicaProxy struct {
	*cache.Proxy
	pods       int
	identities identities
}

// NewReplicas makes the planner and subscribes it to the store.
func NewReplicas(options envoy.Options, c *cache.Cache, s *store.Store, now func() time.Time) *Replicas {
	r := &Replicas{
		options: options, cache: c, store: s, now: now,
		proxies: map[string]*replicaProxy{}, placed: map[model.Key]model.Replica{},
		moved: map[string]struct{}{}, wake: make(chan struct{}, 1),
	}
	s.Subscribe(r.changed)
	return r
}

// Connect is called when a proxy asks for a type for the first time on a stream. Its replicas' rows are there already;
// what it has beyond them is from before this control plane and goes. A replica whose listener it does not bring is not
// served any more: another process has taken the proxy's place.
func (r *Replicas) Connect(id string, typ cache.Type) {
	p := r.removeSurplus(id)
	if typ != cache.Listeners {
		return
	}
	r.store.Write(func(tx *store.Tx) {
		for _, replica := range tx.ReplicasAt(id) {
			if p.Acked(cache.Listeners, model.ReplicaName(replica.Pod)) == "" {
				tx.ChangeReplica(replica.Pod, func(replica *store.Replica) { replica.Programmed, replica.Listening = false, false })
			}
		}
	})
}

func (r *Replicas) removeSurplus(id string) *replicaProxy {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.proxy(id)
	for _, typ := range []cache.Type{cache.Listeners, cache.Clusters} {
		var surplus []string
		for _, name := range p.Known(typ) {
			if ours(name) && p.Put(typ, name) == "" {
				surplus = append(surplus, name)
			}
		}
		p.Apply(cache.Change{Type: typ, Delete: surplus})
	}
	known := p.Known(cache.Clusters)
	has := func(account model.Key) bool { return slices.Contains(known, model.SVIDSecret(account)) }
	p.Apply(cache.Change{Type: cache.Clusters, Delete: secrets(p.identities.restart(has))})
	return p
}

// Disconnect is called when a proxy's stream has ended.
func (r *Replicas) Disconnect(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(id)
}

// forget drops a proxy that is away and serves nothing: its pod, or its node, is gone. The caller holds mu.
func (r *Replicas) forget(id string) {
	if p, ok := r.proxies[id]; ok && p.pods == 0 && r.cache.Forget(id) {
		delete(r.proxies, id)
	}
}

// ours tells the rows of replicas from what the bootstrap brought.
func ours(name string) bool { return strings.Contains(name, "|") }

// proxy returns a proxy's rows and watches its ledger. The caller holds mu.
func (r *Replicas) proxy(id string) *replicaProxy {
	p, ok := r.proxies[id]
	if !ok {
		p = &replicaProxy{Proxy: r.cache.Proxy(id), identities: identities{}}
		r.proxies[id] = p
		r.cache.Watch(id, func() { r.ledgerMoved(id) })
	}
	return p
}

func (r *Replicas) ledgerMoved(id string) {
	r.movedMu.Lock()
	r.moved[id] = struct{}{}
	r.movedMu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// changed follows the store inside the write.
func (r *Replicas) changed(touched *store.Touched) {
	if len(touched.Replicas) == 0 {
		return
	}
	view := r.store.Read()
	r.mu.Lock()
	defer r.mu.Unlock()
	var serve []*store.Replica
	for pod := range touched.Replicas {
		if replica, exists := view.Replica(pod); exists && replica.App.Host != "" && replica.Proxy != "" {
			serve = append(serve, replica)
		} else {
			r.remove(pod)
		}
	}
	// After those that go: one may have another's address.
	for _, replica := range serve {
		r.place(replica.Replica)
		if replica.Listening {
			r.hold(replica.Replica)
		}
	}
}

// place makes a replica's proxy serve it: the app's cluster first, then the listener.
func (r *Replicas) place(replica model.Replica) {
	old, was := r.placed[replica.Pod]
	if was && reflect.DeepEqual(old, replica) {
		return
	}
	if was && (old.Proxy != replica.Proxy || old.Account() != replica.Account()) {
		r.remove(replica.Pod)
	}
	p := r.proxy(replica.Proxy)
	owner := model.Owner{Kind: "Pod", Key: replica.Pod}
	if _, still := r.placed[replica.Pod]; !still {
		p.pods++
		if envoy.HoldsIdentity(r.options, replica) {
			p.identities.add(replica.Account())
		}
	}
	r.placed[replica.Pod] = replica
	p.Apply(
		cache.Change{Type: cache.Clusters, Put: []*cache.Row{mustRow(model.AppClusterName(replica.Pod), owner, envoy.AppCluster(replica))}},
		cache.Change{Type: cache.Listeners, Put: []*cache.Row{mustRow(model.ReplicaName(replica.Pod), owner, envoy.ReplicaListener(r.options, replica))}},
	)
}

// hold has a node proxy hold the certificate of a replica that listens: that it has it is certain, and the next listener that presents it need
// not wait.
func (r *Replicas) hold(replica model.Replica) {
	p, account := r.proxy(replica.Proxy), replica.Account()
	if !p.identities.hold(account) {
		return
	}
	owner := model.Owner{Kind: "ServiceAccount", Key: account}
	p.Apply(cache.Change{Type: cache.Clusters, Put: []*cache.Row{mustRow(model.SVIDSecret(account), owner, envoy.IdentityCluster(account))}})
}

// secrets names the certificates of accounts, and the clusters that hold them.
func secrets(accounts []model.Key) []string {
	names := make([]string, 0, len(accounts))
	for _, account := range accounts {
		names = append(names, model.SVIDSecret(account))
	}
	return names
}

// remove ends a replica at its proxy. Its pod is gone, and every gateway was told before.
func (r *Replicas) remove(pod model.Key) {
	old, was := r.placed[pod]
	if !was {
		return
	}
	delete(r.placed, pod)
	p := r.proxy(old.Proxy)
	p.pods--
	now := r.now()
	p.identities.remove(old.Account(), now)
	p.Apply(
		cache.Change{Type: cache.Listeners, Delete: []string{model.ReplicaName(pod)}},
		cache.Change{Type: cache.Clusters, Delete: append(secrets(p.identities.expire(now)), model.AppClusterName(pod))},
	)
	r.forget(old.Proxy)
}

// Run turns what proxies accepted into replicas that are programmed, until the context ends.
func (r *Replicas) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		r.catchUp()
	}
}

func (r *Replicas) catchUp() {
	var programmed []model.Key
	for _, p := range r.takeMoved() {
		for pod := range movedPods(p.Proxy) {
			if p.Acked(cache.Listeners, model.ReplicaName(pod)) != "" && p.Acked(cache.Clusters, model.AppClusterName(pod)) != "" {
				programmed = append(programmed, pod)
			}
		}
	}
	if len(programmed) == 0 {
		return
	}
	r.store.Write(func(tx *store.Tx) {
		for _, pod := range programmed {
			tx.ChangeReplica(pod, func(replica *store.Replica) { replica.Programmed = true })
		}
	})
}

// takeMoved returns the proxies whose ledger has moved since the last call.
func (r *Replicas) takeMoved() []*replicaProxy {
	r.movedMu.Lock()
	moved := r.moved
	r.moved = map[string]struct{}{}
	r.movedMu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*replicaProxy, 0, len(moved))
	for id := range moved {
		if p, ok := r.proxies[id]; ok {
			out = append(out, p)
		}
	}
	return out
}

func movedPods(p *cache.Proxy) map[model.Key]struct{} {
	pods := map[model.Key]struct{}{}
	moved := p.TakeMoved()
	for name := range moved[cache.Listeners] {
		if pod, err := model.ParseReplicaName(name); err == nil {
			pods[pod] = struct{}{}
		}
	}
	for name := range moved[cache.Clusters] {
		if pod, err := model.ParseAppClusterName(name); err == nil {
			pods[pod] = struct{}{}
		}
	}
	return pods
}
