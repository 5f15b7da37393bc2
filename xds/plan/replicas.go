package plan

import (
	"context"
	"reflect"
	"strings"
	"sync"

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

	mu      sync.Mutex
	proxies map[string]*cache.Proxy
	// placed is what was put last for each pod, and at which proxy.
	placed map[model.Key]model.Replica
	wake   chan struct{}
}

// NewReplicas makes the planner and subscribes it to the store.
func NewReplicas(options envoy.Options, c *cache.Cache, s *store.Store) *Replicas {
	r := &Replicas{
		options: options, cache: c, store: s,
		proxies: map[string]*cache.Proxy{}, placed: map[model.Key]model.Replica{}, wake: make(chan struct{}, 1),
	}
	s.Subscribe(r.changed)
	return r
}

// Connect is called when a proxy asks for a type for the first time on a stream. Its replicas' rows are there already;
// what it has beyond them is from before this control plane and goes.
func (r *Replicas) Connect(id string) {
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
}

// ours tells the rows of replicas from what the bootstrap brought.
func ours(name string) bool { return strings.Contains(name, "|") }

// proxy returns a proxy's rows and watches its ledger. The caller holds mu.
func (r *Replicas) proxy(id string) *cache.Proxy {
	p, ok := r.proxies[id]
	if !ok {
		p = r.cache.Proxy(id)
		r.proxies[id] = p
		r.cache.Watch(id, func() {
			select {
			case r.wake <- struct{}{}:
			default:
			}
		})
	}
	return p
}

// changed follows the store inside the write.
func (r *Replicas) changed(touched *store.Touched) {
	if len(touched.Replicas) == 0 {
		return
	}
	view := r.store.Read()
	r.mu.Lock()
	defer r.mu.Unlock()
	for pod := range touched.Replicas {
		replica, exists := view.Replica(pod)
		if exists && replica.App.Host != "" && replica.Proxy != "" {
			r.place(replica.Replica)
		} else if !exists {
			r.remove(pod)
		}
	}
}

// place makes a replica's proxy serve it: the app's cluster first, then the listener.
func (r *Replicas) place(replica model.Replica) {
	old, was := r.placed[replica.Pod]
	if was && reflect.DeepEqual(old, replica) {
		return
	}
	if was && old.Proxy != replica.Proxy {
		r.remove(replica.Pod)
	}
	r.placed[replica.Pod] = replica
	owner := model.Owner{Kind: "Pod", Key: replica.Pod}
	r.proxy(replica.Proxy).Apply(
		cache.Change{Type: cache.Clusters, Put: []*cache.Row{mustRow(model.AppClusterName(replica.Pod), owner, envoy.AppCluster(replica))}},
		cache.Change{Type: cache.Listeners, Put: []*cache.Row{mustRow(model.ReplicaName(replica.Pod), owner, envoy.ReplicaListener(r.options, replica))}},
	)
}

// remove ends a replica at its proxy. Its pod is gone, and every gateway was told before.
func (r *Replicas) remove(pod model.Key) {
	old, was := r.placed[pod]
	if !was {
		return
	}
	delete(r.placed, pod)
	r.proxy(old.Proxy).Apply(
		cache.Change{Type: cache.Listeners, Delete: []string{model.ReplicaName(pod)}},
		cache.Change{Type: cache.Clusters, Delete: []string{model.AppClusterName(pod)}},
	)
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
	r.mu.Lock()
	proxies := make([]*cache.Proxy, 0, len(r.proxies))
	for _, p := range r.proxies {
		proxies = append(proxies, p)
	}
	r.mu.Unlock()
	var programmed []model.Key
	for _, p := range proxies {
		for pod := range movedPods(p) {
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
