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
	kept := make([]*entry, 0, len(q.waiting))
	for _, e := range q.waiting {
		n := ready[place{e.request.Gateway, e.choice.Cluster}]
		free, unlimited := q.slots.free(load, n)
		if !e.left.IsZero() || n == 0 || (!unlimited && free == 0) {
			kept = append(kept, e)
			continue
		}
		released++
		if !unlimited {
			q.slots.take(e.request.Gateway)
		}
		e.verdict <- Verdict{Code: Go, Choice: e.choice, Counted: !unlimited}
	}
	q.waiting = kept
	h.total -= released
	return released, len(kept)
}

// Done is told that a request which was let go, and counted, has ended.
func (h *Hold) Done(gateway string, revision model.Key) {
	h.mu.Lock()
	if q, ok := h.queues[revision]; ok {
		q.slots.give(gateway)
		h.tidy(revision, q)
	}
	h.mu.Unlock()
	h.Release(revision)
}

// Lost is told that a gateway reports no more: what it had is gone with it.
func (h *Hold) Lost(gateway string) {
	h.mu.Lock()
	var freed []model.Key
	for revision, q := range h.queues {
		if q.slots.outstanding[gateway] > 0 {
			delete(q.slots.outstanding, gateway)
			freed = append(freed, revision)
		}
		h.tidy(revision, q)
	}
	h.mu.Unlock()
	for _, revision := range freed {
		h.Release(revision)
	}
}

// tidy drops a queue that says nothing. The caller holds mu.
func (h *Hold) tidy(revision model.Key, q *queue) {
	if len(q.waiting) == 0 && len(q.slots.outstanding) == 0 {
		delete(h.queues, revision)
	}
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
