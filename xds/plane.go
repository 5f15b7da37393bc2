package xds

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/cache"
	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/phases"
	"ebb.dev/ebb/xds/plan"
	"ebb.dev/ebb/xds/server"
	"ebb.dev/ebb/xds/store"
)

// Autoscaler is what this room tells the autoscaler and asks of it.
type Autoscaler interface {
	hold.Demand
	server.Sink
	// Coming reports whether more replicas of the revision are on their way.
	Coming(revision model.Key) bool
}

// Options of a Plane.
type Options struct {
	TrustDomain string
	// DNS are the names by which the control plane is dialled.
	DNS        []string
	Listeners  []envoy.GatewayListener
	CA         *identity.CA
	Reviewer   identity.Reviewer
	Accounts   identity.Accounts
	Autoscaler Autoscaler
	Hold       hold.Settings
	Node       agentpb.NodeServer
	// Backlogs takes what event brokers have waiting; nil takes nothing.
	Backlogs agentpb.AutoscalerServer
	// Phases times cold starts; nil times none.
	Phases *phases.Recorder
	// OnRefused is told what a proxy refuses.
	OnRefused func(cache.Refusal)
	Log       *slog.Logger
}

// Plane is the room, put together.
type Plane struct {
	Store    *store.Store
	Cache    *cache.Cache
	Gateways *plan.Gateways
	Replicas *plan.Replicas
	Hold     *hold.Hold
	Health   *server.Health
	Loads    *Loads
	server   *server.Server
	options  Options
}

// linger is how long a gateway keeps a cluster after its last use; quorum bounds the wait for gateways' ACKs; forget is
// how long a gateway that is away is still planned for.
const (
	linger = 5 * time.Second
	quorum = 3 * time.Second
	forget = time.Minute
)

// New puts the room together. The store must be filled before Serve: a proxy that connects is told all at once.
func New(ctx context.Context, o Options) *Plane {
	p := &Plane{Store: store.New(), Cache: cache.New(server.Authorizer(o.TrustDomain)), options: o}
	shared := envoy.Options{TrustDomain: o.TrustDomain}
	p.Loads = newLoads(o.Autoscaler)
	o.Phases.Observe(p.Store)
	p.Replicas = plan.NewReplicas(shared, p.Cache, p.Store, time.Now)
	p.Gateways = plan.NewGateways(plan.Settings{
		Envoy: shared, Listeners: o.Listeners, Linger: linger, Quorum: quorum, Forget: forget, Now: time.Now, Log: o.Log,
	}, p.Cache, p.Store, waiting{p})
	o.Phases.ObservePushed(p.Store)
	o.Hold.OnLetGo = func(revision model.Key) { p.Loads.letGo(revision, time.Now()) }
	p.Hold = hold.New(o.Hold, p.Gateways, world{p.Store, p.Loads, p.Gateways, o.Autoscaler}, demand{o.Autoscaler, o.Phases})
	p.Gateways.OnReady = p.reached
	p.Loads.onReport = p.measured
	p.Store.Subscribe(p.rerouted)
	p.Health = server.NewHealth(o.TrustDomain, p.Store, time.Now, o.Log)
	p.Cache.OnRefused = p.refused
	p.Cache.OnFirst, p.Cache.OnDisconnect = p.first, p.gone
	p.server = server.New(ctx, server.Parts{
		TrustDomain: o.TrustDomain, CA: o.CA, DNS: o.DNS, Cache: p.Cache, Hold: p.Hold, Node: o.Node, Backlogs: o.Backlogs,
		Health: p.Health, Feed: server.NewFeed(o.TrustDomain, p.Store, p.Loads, time.Now, o.Log), Log: o.Log,
		Identity: &identity.Issuer{
			TrustDomain: o.TrustDomain, CA: o.CA, Reviewer: o.Reviewer, Bindings: bindings{p.Store}, Accounts: o.Accounts, Log: o.Log,
		},
	})
	return p
}

// Serve runs the room until the context ends, or the listener fails.
func (p *Plane) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	for _, run := range []func(context.Context){p.Gateways.Run, p.Replicas.Run, p.options.CA.Run} {
		group.Go(func() { run(ctx) })
	}
	return p.server.Serve(ctx, listener)
}

func isGateway(proxyID string) bool { return strings.HasPrefix(proxyID, string(model.RoleGateway)+"/") }

// first prepares a proxy that asks for a type for the first time on a stream.
func (p *Plane) first(proxyID string, typ cache.Type) {
	if isGateway(proxyID) {
		p.Gateways.Connect(proxyID, typ)
		return
	}
	p.Replicas.Connect(proxyID, typ)
}

// gone is told that a proxy's stream has ended.
func (p *Plane) gone(proxyID string) {
	if isGateway(proxyID) {
		p.Gateways.Disconnect(proxyID)
		return
	}
	p.Replicas.Disconnect(proxyID)
}

func (p *Plane) refused(r cache.Refusal) {
	p.options.Log.Error("a proxy refuses a resource", "proxy", r.Proxy, "resource", r.Name, "owner", r.Owner.String(), "reason", r.Message)
	if p.options.OnRefused != nil {
		p.options.OnRefused(r)
	}
}

// rerouted lets held requests follow a change of traffic or of a revision's fate.
func (p *Plane) rerouted(touched *store.Touched) {
	view := p.Store.Read()
	for key := range touched.Revisions {
		if !p.Hold.Waiting(key) {
			continue
		}
		if revision, ok := view.Revision(key); !ok {
			p.Hold.Deleted(key)
		} else if why := failed(view, revision); why != "" {
			p.Hold.Fail(key, why)
		}
	}
	if len(touched.VHosts) > 0 {
		p.Hold.Rerouted(touched.VHosts)
	}
}

// reached lets held requests go that a gateway can now answer.
func (p *Plane) reached(gateway, cluster string) {
	if key, _, err := model.ParseClusterName(cluster); err == nil {
		p.options.Phases.Reached(key, phases.Acked)
	}
	p.Hold.Ready(gateway, cluster)
}

// demand times what it passes on to the autoscaler.
type demand struct {
	hold.Demand
	phases *phases.Recorder
}

// Held implements hold.Demand.
func (d demand) Held(revision model.Key, held int) {
	d.phases.Demand(revision, held)
	d.Demand.Held(revision, held)
}

// measured looks again at who is held for revisions of which there is a new measurement.
func (p *Plane) measured(revisions []model.Key) {
	for _, key := range revisions {
		p.Hold.Measured(key, p.Loads.Busy(key))
	}
}

// waiting lets the planner ask the hold, which is made after it.
type waiting struct{ plane *Plane }

func (w waiting) Waiting(revision model.Key) bool { return w.plane.Hold.Waiting(revision) }

// world is the store as the hold sees it.
type world struct {
	store      *store.Store
	loads      *Loads
	gateways   *plan.Gateways
	autoscaler Autoscaler
}

func (w world) VHost(config model.RouteConfig, domain string) (*model.VHost, bool) {
	return w.store.Read().VHostByDomain(config, domain)
}

func (w world) Revision(key model.Key) (hold.Revision, bool) {
	view := w.store.Read()
	r, ok := view.Revision(key)
	if !ok {
		return hold.Revision{}, false
	}
	limit := r.Timeouts.Request
	if start := r.Timeouts.ResponseStart; start > 0 && (limit == 0 || start < limit) {
		limit = start
	}
	return hold.Revision{Cluster: model.ClusterName(key, r.Protocol), Limit: limit, Failed: failed(view, r)}, true
}

func (w world) Load(key model.Key) hold.Load {
	r, ok := w.store.Read().Revision(key)
	if !ok || r.Concurrency == 0 {
		return hold.Load{}
	}
	return hold.Load{
		Concurrency: int(r.Concurrency), Queue: int(envoy.QueueOf(r.Concurrency)) / 2, Coming: w.autoscaler.Coming(key),
		Direct: w.gateways.Passing(model.ClusterName(key, r.Protocol)), Busy: w.loads.Busy(key),
	}
}

// failed is why a revision can never answer: its own reason, or that of its replicas when none of them may come up. Those
// that are being deleted say nothing, and when all are gone the next request tries again.
func failed(view store.View, r *store.Revision) string {
	if r.Failed != "" {
		return r.Failed
	}
	why := ""
	for _, replica := range view.ReplicasOf(r.Key) {
		switch {
		case replica.Terminating:
		case replica.Failing == "":
			return ""
		default:
			why = replica.Failing
		}
	}
	return why
}

// bindings says where pods are, for the issuer.
type bindings struct{ store *store.Store }

func (b bindings) Bound(node string, account model.Key) bool {
	for _, replica := range b.store.Read().ReplicasOn(node) {
		if replica.Pod.Namespace == account.Namespace && replica.Revision.ServiceAccount == account.Name {
			return true
		}
	}
	return false
}
