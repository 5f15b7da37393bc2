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

// Demand is told how many requests are held for a revision, at each change.
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

	mu sync.Mutex
	// queues are by revision; the zero key's is for plain services, whose requests wait for their gateway only.
	queues map[model.Key]*queue
	total  int
	stats  *metrics
}

// New makes a hold.
func New(settings Settings, gateways Gateways, world World, demand Demand) *Hold {
	return &Hold{
		settings: settings, gateways: gateways, world: world, demand: demand,
		queues: map[model.Key]*queue{}, stats: newMetrics(),
	}
}

// queue is one revision's waiting requests, oldest first, and what it has free.
type queue struct {
	waiting []*entry
	slots   slots
}

type entry struct {
	request Request
	choice  Choice
	arrived time.Time
	// verdict receives exactly one answer.
	verdict chan Verdict
	// left is when the check was cancelled; the entry keeps its place for a moment.
	left time.Time
}

// Waiting reports whether requests for the revision are held.
func (h *Hold) Waiting(revision model.Key) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	q, ok := h.queues[revision]
	return ok && len(q.waiting) > 0
}

// Held returns how many requests are held for a revision.
func (h *Hold) Held(revision model.Key) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if q, ok := h.queues[revision]; ok {
		return len(q.waiting)
	}
	return 0
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
	choice, verdict := h.resolve(request)
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
	e, verdict := h.enter(request, choice, arrived)
	if verdict != nil {
		return *verdict
	}
	// The cluster and the replica get ready side by side.
	h.gateways.Prime(request.Gateway, choice.Cluster, arrived.Add(h.settings.Primed))
	h.Release(choice.Revision)
	return h.wait(ctx, e, revision)
}

// resolve finds where a request goes.
func (h *Hold) resolve(request Request) (Choice, *Verdict) {
	if !request.Revision.IsZero() {
		revision, ok := h.world.Revision(request.Revision)
		if !ok {
			return Choice{}, &Verdict{Code: Unavailable, Reason: fmt.Sprintf("revision %s does not exist any more", request.Revision)}
		}
		// Envoy has routed the request already: nothing is set and no cluster is named.
		return Choice{Cluster: revision.Cluster, Revision: request.Revision}, nil
	}
	route, verdict := h.route(request)
	if verdict != nil {
		return Choice{}, verdict
	}
	choice, ok := Pick(route, rand.Float64())
	if !ok {
		return Choice{}, &Verdict{Code: Unavailable, Reason: "no share of the traffic goes anywhere"}
	}
	return choice, nil
}

func (h *Hold) route(request Request) (model.Route, *Verdict) {
	host := HostName(request.Host)
	vhost, ok := h.world.VHost(request.Config, host)
	if !ok {
		return model.Route{}, &Verdict{Code: NotFound, Reason: fmt.Sprintf("no service has the host %q", host)}
	}
	route, ok := Match(vhost, request)
	if !ok {
		return model.Route{}, &Verdict{Code: NotFound, Reason: fmt.Sprintf("host %q has no route for this path and these headers", host)}
	}
	return route, nil
}

// enter puts a request into its queue. One that was here before, and was cancelled a moment ago, takes its old place.
func (h *Hold) enter(request Request, choice Choice, arrived time.Time) (*entry, *Verdict) {
	h.mu.Lock()
	q, ok := h.queues[choice.Revision]
	if !ok {
		q = &queue{}
		h.queues[choice.Revision] = q
	}
	e := &entry{request: request, choice: choice, arrived: arrived, verdict: make(chan Verdict, 1)}
	for i, old := range q.waiting {
		if !old.left.IsZero() && request.ID != "" && old.request.ID == request.ID && old.request.Gateway == request.Gateway {
			e.arrived = old.arrived
			q.waiting[i] = e
			h.mu.Unlock()
			return e, nil
		}
	}
	if len(q.waiting) >= h.settings.PerRevision || h.total >= h.settings.Total {
		h.mu.Unlock()
		h.stats.refused.Inc()
		return nil, &Verdict{Code: Full, Reason: fmt.Sprintf("too many requests wait for %s", choice.Revision)}
	}
	q.waiting = append(q.waiting, e)
	h.total++
	held := len(q.waiting)
	h.mu.Unlock()
	h.stats.held.Set(float64(h.totalHeld()))
	h.tell(choice.Revision, held)
	return e, nil
}

func (h *Hold) totalHeld() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.total
}

func (h *Hold) tell(revision model.Key, held int) {
	if !revision.IsZero() {
		h.demand.Held(revision, held)
	}
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
		h.leave(e)
		return Verdict{Code: Gone}
	}
}

func (h *Hold) finish(e *entry, verdict Verdict) Verdict {
	verdict.Waited = h.settings.Now().Sub(e.arrived)
	h.stats.waited.WithLabelValues(verdict.Code.String()).Observe(verdict.Waited.Seconds())
	return verdict
}

// leave marks a cancelled check. If the gateway does not ask again soon, the request is gone and counts no more.
func (h *Hold) leave(e *entry) {
	h.mu.Lock()
	e.left = h.settings.Now()
	h.mu.Unlock()
	time.AfterFunc(h.settings.Linger, func() { h.remove(e) })
}

// remove takes an entry out of its queue; it reports false when it was out already.
func (h *Hold) remove(e *entry) bool {
	revision := e.choice.Revision
	h.mu.Lock()
	q := h.queues[revision]
	at := -1
	if q != nil {
		for i, other := range q.waiting {
			if other == e {
				at = i
				break
			}
		}
	}
	if at < 0 {
		h.mu.Unlock()
		return false
	}
	q.waiting = append(q.waiting[:at], q.waiting[at+1:]...)
	h.total--
	held := len(q.waiting)
	h.mu.Unlock()
	h.emptied(revision, held)
	return true
}

// emptied tells the change of a queue to those who act on it.
func (h *Hold) emptied(revision model.Key, held int) {
	h.stats.held.Set(float64(h.totalHeld()))
	h.tell(revision, held)
	if held == 0 {
		h.gateways.Refresh(revision)
	}
}

// Revisions lists those for which requests are held.
func (h *Hold) Revisions() []model.Key {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []model.Key
	for key, q := range h.queues {
		if len(q.waiting) > 0 && !key.IsZero() {
			out = append(out, key)
		}
	}
	return out
}
