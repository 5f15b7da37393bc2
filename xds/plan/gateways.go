package plan

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"ebb.dev/ebb/xds/cache"
	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// Queue is what planning needs to know of the hold.
type Queue interface {
	// Waiting reports whether requests for the revision are held anywhere.
	Waiting(revision model.Key) bool
}

// Settings of the gateway planner.
type Settings struct {
	Envoy     envoy.Options
	Listeners []envoy.GatewayListener
	// Linger is how long a cluster stays at a gateway after the last use of it: requests that began with an older
	// configuration still need it.
	Linger time.Duration
	// Quorum bounds the wait for one gateway's ACK; past it the gateway is left out, loudly.
	Quorum time.Duration
	Now    func() time.Time
	Log    *slog.Logger
}

// Gateways plans for all gateways.
type Gateways struct {
	settings Settings
	cache    *cache.Cache
	store    *store.Store
	// OnReady is told that a gateway reaches more ready endpoints of a cluster than before. It is called under no lock of
	// the planner, but may be inside a store write.
	OnReady func(gateway, cluster string)
	queue   Queue

	mu       sync.Mutex
	gateways map[string]*gateway
	wake     chan struct{}
}

// NewGateways makes the planner and subscribes it to the store.
func NewGateways(settings Settings, c *cache.Cache, s *store.Store, queue Queue) *Gateways {
	g := &Gateways{
		settings: settings, cache: c, store: s, queue: queue,
		gateways: map[string]*gateway{}, wake: make(chan struct{}, 1),
	}
	s.Subscribe(g.changed)
	return g
}

// Run takes what the gateways' ledgers report, until the context ends.
func (g *Gateways) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next := time.Hour
		for _, gw := range g.all() {
			if wait := gw.catchUp(g.settings.Now()); wait < next {
				next = wait
			}
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-timer.C:
		}
	}
}

// Connect prepares a gateway's rows: it is called when the gateway asks for a type for the first time on a stream.
func (g *Gateways) Connect(id string) {
	g.mu.Lock()
	gw, ok := g.gateways[id]
	if !ok {
		gw = newGateway(g, id)
		g.gateways[id] = gw
		g.cache.Watch(id, func() {
			select {
			case g.wake <- struct{}{}:
			default:
			}
		})
	}
	g.mu.Unlock()
	gw.prime()
}

func (g *Gateways) all() []*gateway {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*gateway, 0, len(g.gateways))
	for _, gw := range g.gateways {
		out = append(out, gw)
	}
	return out
}

func (g *Gateways) get(id string) (*gateway, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gw, ok := g.gateways[id]
	return gw, ok
}

// changed follows the store: it runs inside the write, so that the change is on its way when the write returns.
func (g *Gateways) changed(touched *store.Touched) {
	view := g.store.Read()
	for _, gw := range g.all() {
		gw.follow(view, touched)
	}
}

// Prime makes a gateway have a cluster before it is needed: its first request is held and its replica is starting.
func (g *Gateways) Prime(gatewayID string, cluster string, until time.Time) {
	if gw, ok := g.get(gatewayID); ok {
		gw.primeCluster(cluster, until)
	}
}

// Ready counts the ready endpoints that the gateway has accepted for the cluster.
func (g *Gateways) Ready(gatewayID, cluster string) int {
	if gw, ok := g.get(gatewayID); ok {
		return gw.ready(cluster)
	}
	return 0
}

// Passing reports whether some gateway passes requests to the cluster without asking the hold.
func (g *Gateways) Passing(cluster string) bool {
	for _, gw := range g.all() {
		if gw.passesTo(cluster) {
			return true
		}
	}
	return false
}

// Refresh looks at a revision's virtual hosts again: the hold's queue for it became empty.
func (g *Gateways) Refresh(revision model.Key) {
	if r, ok := g.store.Read().Revision(revision); !ok || r.AlwaysHeld {
		return
	}
	touched := &store.Touched{Revisions: map[model.Key]struct{}{revision: {}}}
	g.changed(touched)
}

// Rest makes every gateway hold a revision's requests and returns when all have accepted it.
func (g *Gateways) Rest(ctx context.Context, revision model.Key) error {
	g.store.Write(func(tx *store.Tx) { tx.SetAsleep(revision, true) })
	return g.settled(ctx, "rest "+revision.String(), func(view store.View) []resource {
		return hostsOf(view, revision)
	})
}

// Wake undoes Rest.
func (g *Gateways) Wake(revision model.Key) {
	g.store.Write(func(tx *store.Tx) { tx.SetAsleep(revision, false) })
}

// Drained returns when every gateway has accepted the revision's endpoints as they are now in the store.
func (g *Gateways) Drained(ctx context.Context, revision model.Key) error {
	return g.settled(ctx, "drain "+revision.String(), func(view store.View) []resource {
		if r, ok := view.Revision(revision); ok {
			return []resource{{cache.Endpoints, model.ClusterName(revision, r.Protocol)}}
		}
		return nil
	})
}

// Programmed returns when every gateway has accepted the virtual hosts of an object as they are now, or with the
// cache.Refusal of the first that a gateway refused.
func (g *Gateways) Programmed(ctx context.Context, owner model.Owner) error {
	return g.settled(ctx, "program "+owner.String(), func(view store.View) []resource {
		var out []resource
		for _, vhost := range view.VHostsOf(owner) {
			out = append(out, resource{cache.VirtualHosts, vhost.Name})
		}
		return out
	})
}

type resource struct {
	typ  cache.Type
	name string
}

func hostsOf(view store.View, revision model.Key) []resource {
	r, ok := view.Revision(revision)
	if !ok {
		return nil
	}
	var out []resource
	for _, vhost := range view.VHostsUsing(model.ClusterName(revision, r.Protocol)) {
		out = append(out, resource{cache.VirtualHosts, vhost.Name})
	}
	return out
}

// settled waits for all connected gateways to accept resources. A gateway that does not answer within the bound is left
// out: it may be gone, and nothing must wait for it for ever.
func (g *Gateways) settled(ctx context.Context, what string, resources func(store.View) []resource) error {
	list := resources(g.store.Read())
	for _, gw := range g.all() {
		if !gw.proxy.Connected() {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, g.settings.Quorum)
		for _, r := range list {
			err := gw.proxy.WaitCurrent(bounded, r.typ, r.name)
			var refusal cache.Refusal
			switch {
			case err == nil:
			case asRefusal(err, &refusal):
				cancel()
				return refusal
			case ctx.Err() != nil:
				cancel()
				return context.Cause(ctx)
			default:
				g.settings.Log.Warn("gateway left out: no ACK in time", "gateway", gw.id, "for", what, "resource", r.name, "bound", g.settings.Quorum)
			}
			if bounded.Err() != nil {
				break
			}
		}
		cancel()
	}
	return nil
}
