package hold

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"ebb.dev/ebb/xds/model"
)

// Gateways is what the hold needs of the planner.
type Gateways interface {
	// Ready counts the ready endpoints that the gateway has accepted for the cluster.
	Ready(gateway, cluster string) int
	// Prime makes the gateway have the cluster before it is needed.
	Prime(gateway, cluster string, until time.Time)
	// Refresh is told that nobody waits for a revision any more.
	Refresh(revision model.Key)
}

// World is what the hold looks up.
type World interface {
	VHost(config model.RouteConfig, domain string) (*model.VHost, bool)
	// Revision returns a revision's cluster, the longest time a request may be held for it, and why it can never answer.
	Revision(key model.Key) (Revision, bool)
	// Load is what a revision's replicas are doing, as last measured.
	Load(key model.Key) Load
}

// Revision is what the hold needs to know of a revision.
type Revision struct {
	Cluster string
	// Limit bounds a hold; 0 is no bound of the revision's own.
	Limit time.Duration
	// Failed says why it can never answer; empty while it may.
	Failed string
}

// Demand is told how many requests are held for a revision, at each change. It must neither block nor call the hold back.
type Demand interface {
	Held(revision model.Key, held int)
}

// Settings bound the hold.
type Settings struct {
	// PerRevision and Total bound held requests; past them the answer is 503 with Retry-After.
	PerRevision, Total int
	// Limit bounds every hold.
	Limit time.Duration
	// Linger is how long a check that was cancelled keeps its place: the gateway may ask again for the same request.
	Linger time.Duration
	// OnLetGo is told of each request of a revision that is about to be let go; nil is nobody. It must neither block nor call the hold back.
	OnLetGo func(revision model.Key)
	// Primed is how long a gateway keeps a cluster whose revision nobody asks for any more.
	Primed time.Duration
	Now    func() time.Time
	Log    *slog.Logger
}

// DefaultSettings are right for one gateway pair on one machine up to a cluster.
func DefaultSettings() Settings {
	return Settings{
		PerRevision: 10000, Total: 40000, Limit: 10 * time.Minute, Linger: 200 * time.Millisecond,
		Primed: time.Minute, Now: time.Now, Log: slog.Default(),
	}
}

// Code is the kind of a verdict.
type Code int

// The kinds of verdict.
const (
	Go Code = iota
	NotFound
	Unavailable
	Full
	Gone
	// reroute makes the check look for its route once more; it is never answered.
	reroute
)

func (c Code) String() string {
	return [...]string{"go", "not-found", "unavailable", "full", "gone", "reroute"}[c]
}

// Verdict is the answer of a check.
type Verdict struct {
	Code   Code
	Choice Choice
	// Counted says that the end of the request is to be reported: it takes a slot.
	Counted bool
	// Reason is for a person.
	Reason string
	// Waited is how long the request was held.
	Waited time.Duration
}

// Hold keeps the waiting requests.
type Hold struct {
	settings Settings
	gateways Gateways
	world    World
	demand   Demand

	// telling keeps what the demand is told in the order in which it happened. It is taken before mu.
	telling sync.Mutex

	// mu guards the queues. No foreign code runs under it.
	mu sync.Mutex
	// queues are by revision; the zero key's is for plain services, whose requests wait for their gateway only.
	queues   map[model.Key]*queue
	arrivals map[model.Key]map[chan struct{}]struct{}
	// closed are revisions of which nothing is let go.
	closed map[model.Key]struct{}
	total  int
	stats  *metrics
}

// New makes a hold.
func New(settings Settings, gateways Gateways, world World, demand Demand) *Hold {
	return &Hold{
		settings: settings, gateways: gateways, world: world, demand: demand,
		queues: map[model.Key]*queue{}, arrivals: map[model.Key]map[chan struct{}]struct{}{}, closed: map[model.Key]struct{}{}, stats: newMetrics(),
	}
}

// Waiting reports whether requests for the revision are held.
func (h *Hold) Waiting(revision model.Key) bool { return h.Held(revision) > 0 }

// Held returns how many requests are held for a revision.
func (h *Hold) Held(revision model.Key) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if q, ok := h.queues[revision]; ok {
		return q.size
	}
	return 0
}

// Arrival returns a channel that is closed when a request is held for the revision, or is already. stop ends the watch.
func (h *Hold) Arrival(revision model.Key) (arrived <-chan struct{}, stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ch := make(chan struct{})
	if q, ok := h.queues[revision]; ok && q.size > 0 {
		close(ch)
		return ch, func() {}
	}
	if h.arrivals[revision] == nil {
		h.arrivals[revision] = map[chan struct{}]struct{}{}
	}
	h.arrivals[revision][ch] = struct{}{}
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.arrivals[revision], ch)
		if len(h.arrivals[revision]) == 0 {
			delete(h.arrivals, revision)
		}
	}
}

// announce closes the channels of those who watch for an arrival. The caller holds mu.
func (h *Hold) announce(revision model.Key) {
	for ch := range h.arrivals[revision] {
		close(ch)
	}
	delete(h.arrivals, revision)
}

// Check decides on a request and returns when it is decided.
func (h *Hold) Check(ctx context.Context, request Request) Verdict {
	arrived := h.settings.Now()
	for {
		verdict := h.check(ctx, request, arrived)
		if verdict.Code != reroute {
			return verdict
		}
	}
}

func (h *Hold) check(ctx context.Context, request Request, arrived time.Time) Verdict {
	choice, vhost, verdict := h.resolve(request)
	if verdict != nil {
		return *verdict
	}
	var revision Revision
	if !choice.Revision.IsZero() {
		known, ok := h.world.Revision(choice.Revision)
		switch {
		case !ok:
			return Verdict{Code: Unavailable, Reason: fmt.Sprintf("revision %s does not exist (yet)", choice.Revision)}
		case known.Failed != "":
			return Verdict{Code: Unavailable, Reason: fmt.Sprintf("revision %s cannot start: %s", choice.Revision, known.Failed)}
		}
		revision = known
	}
	e, verdict := h.enter(&entry{request: request, choice: choice, vhost: vhost, arrived: arrived, verdict: make(chan Verdict, 1)})
	if verdict != nil {
		return *verdict
	}
	// The cluster and the replica get ready side by side.
	h.gateways.Prime(request.Gateway, choice.Cluster, arrived.Add(h.settings.Primed))
	h.Release(choice.Revision)
	return h.wait(ctx, e, revision)
}

// resolve finds where a request goes, and by which virtual host.
func (h *Hold) resolve(request Request) (Choice, string, *Verdict) {
	if !request.Revision.IsZero() {
		revision, ok := h.world.Revision(request.Revision)
		if !ok {
			return Choice{}, "", &Verdict{Code: Unavailable, Reason: fmt.Sprintf("revision %s does not exist any more", request.Revision)}
		}
		// Envoy has routed the request already: nothing is set and no cluster is named.
		return Choice{Cluster: revision.Cluster, Revision: request.Revision}, "", nil
	}
	route, vhost, verdict := h.route(request)
	if verdict != nil {
		return Choice{}, "", verdict
	}
	choice, ok := Pick(route, rand.Float64())
	if !ok {
		return Choice{}, "", &Verdict{Code: Unavailable, Reason: "no share of the traffic goes anywhere"}
	}
	return choice, vhost, nil
}

func (h *Hold) route(request Request) (route model.Route, name string, verdict *Verdict) {
	host := HostName(request.Host)
	vhost, ok := h.world.VHost(request.Config, host)
	if !ok {
		return model.Route{}, "", &Verdict{Code: NotFound, Reason: fmt.Sprintf("no service has the host %q", host)}
	}
	route, ok = Match(vhost, request)
	if !ok {
		return model.Route{}, "", &Verdict{Code: NotFound, Reason: fmt.Sprintf("host %q has no route for this path and these headers", host)}
	}
	return route, vhost.Name, nil
}

// enter puts a request into its queue. One that was here before, and was cancelled a moment ago, takes its old place.
func (h *Hold) enter(e *entry) (*entry, *Verdict) {
	revision := e.choice.Revision
	h.mu.Lock()
	q, ok := h.queues[revision]
	if !ok {
		q = newQueue()
		h.queues[revision] = q
	}
	if q.resume(e) {
		h.mu.Unlock()
		return e, nil
	}
	if q.size >= h.settings.PerRevision || h.total >= h.settings.Total {
		h.tidy(revision, q)
		h.mu.Unlock()
		h.stats.refused.Inc()
		return nil, &Verdict{Code: Full, Reason: fmt.Sprintf("too many requests wait for %s", revision)}
	}
	q.push(e)
	h.total++
	h.announce(revision)
	h.mu.Unlock()
	h.tell(revision)
	return e, nil
}

// tell says how many are held now, and returns it.
func (h *Hold) tell(revision model.Key) int {
	h.telling.Lock()
	defer h.telling.Unlock()
	h.mu.Lock()
	held, total := 0, h.total
	if q, ok := h.queues[revision]; ok {
		held = q.size
	}
	h.mu.Unlock()
	h.stats.held.Set(float64(total))
	if !revision.IsZero() {
		h.demand.Held(revision, held)
	}
	return held
}

// wait returns the verdict, or takes the request out when its client or its time is gone.
func (h *Hold) wait(ctx context.Context, e *entry, revision Revision) Verdict {
	limit := h.settings.Limit
	if revision.Limit > 0 && revision.Limit < limit {
		limit = revision.Limit
	}
	timer := time.NewTimer(limit - h.settings.Now().Sub(e.arrived))
	defer timer.Stop()
	select {
	case verdict := <-e.verdict:
		return h.finish(e, verdict)
	case <-timer.C:
		if h.remove(e) {
			return h.finish(e, Verdict{Code: Unavailable, Reason: fmt.Sprintf(
				"revision %s was not ready within %s", e.choice.Revision, limit)})
		}
		return h.finish(e, <-e.verdict)
	case <-ctx.Done():
		if !h.leave(e) {
			h.giveBack(e, <-e.verdict)
		}
		return Verdict{Code: Gone}
	}
}

// giveBack frees the slot of a request that was let go when nobody waited for the answer any more.
func (h *Hold) giveBack(e *entry, verdict Verdict) {
	if verdict.Code == Go && verdict.Counted {
		h.Done(e.request.Gateway, verdict.Choice.Revision)
	}
}

func (h *Hold) finish(e *entry, verdict Verdict) Verdict {
	verdict.Waited = h.settings.Now().Sub(e.arrived)
	h.stats.waited.WithLabelValues(verdict.Code.String()).Observe(verdict.Waited.Seconds())
	return verdict
}

// leave marks a cancelled check; it reports false when it has its verdict. If the gateway does not ask again soon, the
// request is gone and counts no more.
func (h *Hold) leave(e *entry) bool {
	h.mu.Lock()
	q := h.queues[e.choice.Revision]
	kept := q != nil && q.suspend(e)
	h.mu.Unlock()
	if !kept {
		return h.remove(e)
	}
	time.AfterFunc(h.settings.Linger, func() { h.takeOut(e, (*queue).expire) })
	return true
}

// remove takes a waiting request out of its queue; it reports false when it was out already.
func (h *Hold) remove(e *entry) bool { return h.takeOut(e, (*queue).remove) }

func (h *Hold) takeOut(e *entry, how func(*queue, *entry) bool) bool {
	revision := e.choice.Revision
	h.mu.Lock()
	q := h.queues[revision]
	if q == nil || !how(q, e) {
		h.mu.Unlock()
		return false
	}
	h.total--
	h.tidy(revision, q)
	h.mu.Unlock()
	h.changed(revision)
	return true
}

// changed tells that fewer are held to those who act on it.
func (h *Hold) changed(revision model.Key) {
	if h.tell(revision) == 0 {
		h.gateways.Refresh(revision)
	}
}

// Revisions lists those for which requests are held.
func (h *Hold) Revisions() []model.Key {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []model.Key
	for key, q := range h.queues {
		if q.size > 0 && !key.IsZero() {
			out = append(out, key)
		}
	}
	return out
}
