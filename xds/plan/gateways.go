package plan

import (
	"context"
	"errors"
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
	// Forget is how long a gateway that is away is still planned for.
	Forget time.Duration
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
			next = min(next, gw.catchUp(g.settings.Now()), g.forgetGone(gw))
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

func (g *Gateways) poke() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// forgetGone drops a gateway that has been away for too long; one that comes back later begins anew. It returns when to
// look again.
func (g *Gateways) forgetGone(gw *gateway) time.Duration {
	since, away := gw.proxy.Away()
	if !away {
		return time.Hour
	}
	if wait := since.Add(g.settings.Forget).Sub(g.settings.Now()); wait > 0 {
		return wait
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cache.Forget(gw.id) {
		delete(g.gateways, gw.id)
		g.settings.Log.Info("gateway forgotten: it has been away", "gateway", gw.id, "since", since)
	}
	return time.Hour
}

// Connect prepares a gateway's rows: it is called when the gateway asks for a type for the first time on a stream, when
// what it has of that type is known and before it is answered.
func (g *Gateways) Connect(id string, typ cache.Type) {
	g.mu.Lock()
	gw, ok := g.gateways[id]
	if !ok {
		gw = newGateway(g, id)
		g.gateways[id] = gw
		g.cache.Watch(id, g.poke)
	}
	g.mu.Unlock()
	switch typ {
	case cache.Clusters, cache.Endpoints, cache.VirtualHosts:
		gw.prime()
	}
}

// Disconnect is called when a gateway's stream has ended.
func (g *Gateways) Disconnect(string) { g.poke() }

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

// Any reports whether a gateway is connected.
func (g *Gateways) Any() bool {
	for _, gw := range g.all() {
		if gw.proxy.Connected() {
			return true
		}
	}
	return false
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

// Drained returns when every gateway has accepted the revision's endpoints as they are now in the store. Virtual hosts
// that pass requests to none that is ready go first.
func (g *Gateways) Drained(ctx context.Context, revision model.Key) error {
	what := "drain " + revision.String()
	err := g.settled(ctx, what, func(view store.View) []resource { return hostsOf(view, revision) })
	var refusal cache.Refusal
	if err != nil && !errors.As(err, &refusal) {
		return err
	}
	r, ok := g.store.Read().Revision(revision)
	if !ok {
		return nil
	}
	cluster := model.ClusterName(revision, r.Protocol)
	for _, gw := range g.all() {
		gw.putLate(cluster)
	}
	return g.settled(ctx, what, func(store.View) []resource { return []resource{{cache.Endpoints, cluster}} })
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

// settled waits for all gateways to accept resources, and returns the first refusal. A gateway that does not answer within
// the bound is left out: it may be gone, and nothing must wait for it for ever. One that went away just now may still
// serve what it had, and counts until the bound is over.
func (g *Gateways) settled(ctx context.Context, what string, resources func(store.View) []resource) error {
	list := resources(g.store.Read())
	bounded, cancel := context.WithTimeout(ctx, g.settings.Quorum)
	defer cancel()
	var refused error
	for _, gw := range g.all() {
		if since, away := gw.proxy.Away(); away && g.settings.Now().Sub(since) >= g.settings.Quorum {
			continue
		}
		late, err := gw.accepts(bounded, list)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case late != "":
			g.settings.Log.Warn("gateway left out: no ACK in time", "gateway", gw.id, "for", what, "resource", late, "bound", g.settings.Quorum)
		}
		if refused == nil {
			refused = err
		}
	}
	return refused
}

// accepts waits for one gateway to accept resources. It returns the one that was not accepted when the context ended, and
// the first refusal.
func (gw *gateway) accepts(ctx context.Context, list []resource) (late string, refused error) {
	for _, r := range list {
		err := gw.proxy.WaitCurrent(ctx, r.typ, r.name)
		var refusal cache.Refusal
		switch {
		case err == nil:
		case !errors.As(err, &refusal):
			return r.name, refused
		case refused == nil:
			refused = refusal
		}
	}
	return "", refused
}
