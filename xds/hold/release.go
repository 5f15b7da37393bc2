package hold

import (
	"fmt"

	"ebb.dev/ebb/xds/model"
)

// Ready is told that a gateway reaches more replicas of a cluster than before.
func (h *Hold) Ready(_, cluster string) {
	key, _, err := model.ParseClusterName(cluster)
	if err != nil {
		key = model.Key{} // a plain service's requests wait in the queue of no revision
	}
	h.Release(key)
}

// Release lets go what can be answered, oldest first: its gateway reaches a ready replica and a slot is free. A request
// whose gateway is not that far yet does not keep others waiting. It is called whenever more may be free.
func (h *Hold) Release(revision model.Key) {
	places := h.places(revision)
	if len(places) == 0 {
		return
	}
	// Asked without our lock: the gateways ask us, under theirs, whether somebody waits.
	for at := range places {
		places[at] = h.gateways.Ready(at.gateway, at.cluster)
	}
	load := h.world.Load(revision)
	released, held := h.letGo(revision, places, load)
	if released > 0 {
		h.emptied(revision, held)
	}
}

// place is where a request waits: at a gateway, for a cluster.
type place struct{ gateway, cluster string }

// places lists where requests wait for a revision.
func (h *Hold) places(revision model.Key) map[place]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	q, ok := h.queues[revision]
	if !ok || len(q.waiting) == 0 {
		return nil
	}
	out := map[place]int{}
	for _, e := range q.waiting {
		out[place{e.request.Gateway, e.choice.Cluster}] = 0
	}
	return out
}

// letGo releases with what is known of the places; who came to another place since is looked at by his own call.
func (h *Hold) letGo(revision model.Key, ready map[place]int, load Load) (released, held int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.queues[revision]
	if q == nil {
		return 0, 0
	}
	now := h.settings.Now()
	q.slots.measure(load)
	kept := make([]*entry, 0, len(q.waiting))
	for _, e := range q.waiting {
		n := ready[place{e.request.Gateway, e.choice.Cluster}]
		free, unlimited := q.slots.free(n)
		if !e.left.IsZero() || n == 0 || (!unlimited && free == 0) {
			kept = append(kept, e)
			continue
		}
		released++
		q.slots.take(now)
		e.verdict <- Verdict{Code: Go, Choice: e.choice}
	}
	q.waiting = kept
	h.total -= released
	return released, len(kept)
}

// Fail answers everybody who waits for a revision that can never answer.
func (h *Hold) Fail(revision model.Key, reason string) {
	h.dismiss(revision, func(*entry) (Verdict, bool) {
		return Verdict{Code: Unavailable, Reason: fmt.Sprintf("revision %s cannot start: %s", revision, reason)}, true
	})
}

// Rerouted looks again at who waits for a revision after traffic was moved: those whose host no longer gives it a share
// are routed anew.
func (h *Hold) Rerouted(revision model.Key) {
	h.dismiss(revision, func(e *entry) (Verdict, bool) {
		// Envoy has picked for those of an active virtual host; the pick stays theirs.
		if !e.request.Revision.IsZero() {
			return Verdict{}, false
		}
		route, gone := h.route(e.request)
		if gone != nil {
			return *gone, true
		}
		return Verdict{Code: reroute}, !serves(route, revision)
	})
}

// dismiss takes out the entries for which f has a verdict.
func (h *Hold) dismiss(revision model.Key, f func(*entry) (Verdict, bool)) {
	h.mu.Lock()
	q, ok := h.queues[revision]
	if !ok || len(q.waiting) == 0 {
		h.mu.Unlock()
		return
	}
	kept := make([]*entry, 0, len(q.waiting))
	for _, e := range q.waiting {
		if verdict, out := f(e); out {
			e.verdict <- verdict
		} else {
			kept = append(kept, e)
		}
	}
	dismissed := len(q.waiting) - len(kept)
	q.waiting = kept
	h.total -= dismissed
	h.mu.Unlock()
	if dismissed > 0 {
		h.emptied(revision, len(kept))
	}
}
