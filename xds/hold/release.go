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
	if h.letGo(revision, places, h.world.Load(revision)) {
		h.changed(revision)
	}
}

// places lists where requests wait for a revision.
func (h *Hold) places(revision model.Key) map[place]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	q, ok := h.queues[revision]
	if !ok || len(q.waiting) == 0 {
		return nil
	}
	out := make(map[place]int, len(q.waiting))
	for at := range q.waiting {
		out[at] = 0
	}
	return out
}

// Close lets none of a revision's requests go until Open, whatever replicas it has.
func (h *Hold) Close(revision model.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed[revision] = struct{}{}
}

// Open ends Close, and lets go what can be answered.
func (h *Hold) Open(revision model.Key) {
	h.mu.Lock()
	delete(h.closed, revision)
	h.mu.Unlock()
	h.Release(revision)
}

// letGo releases with what is known of the places; who came to another place since is looked at by his own call.
func (h *Hold) letGo(revision model.Key, ready map[place]int, load Load) (some bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.queues[revision]
	if _, closed := h.closed[revision]; closed || q == nil {
		return false
	}
	counted := load.Concurrency > 0
	free := func(ready int) bool { return !counted || q.slots.free(load, ready) > 0 }
	for e := q.oldest(ready, free); e != nil; e = q.oldest(ready, free) {
		q.remove(e)
		h.total--
		if counted {
			q.slots.take(e.request.Gateway, h.settings.Now())
		}
		if h.settings.OnLetGo != nil {
			h.settings.OnLetGo(revision)
		}
		e.verdict <- Verdict{Code: Go, Choice: e.choice, Counted: counted}
		some = true
	}
	h.tidy(revision, q)
	return some
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

// Measured is told how many requests a revision's replicas have, queued ones included, and lets go what that frees. The
// end of a request whose client left just as it was let go is reported by nobody: what no replica has is not counted for
// ever.
func (h *Hold) Measured(revision model.Key, busy int) {
	h.mu.Lock()
	q, ok := h.queues[revision]
	if ok {
		q.slots.trim(busy, h.settings.Now())
		h.tidy(revision, q)
	}
	h.mu.Unlock()
	if ok {
		h.Release(revision)
	}
}

// Lost is told that a gateway reports no more: what it had is gone with it.
func (h *Hold) Lost(gateway string) {
	h.mu.Lock()
	var freed []model.Key
	for revision, q := range h.queues {
		if q.slots.lose(gateway) {
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
	if q.size == 0 && len(q.slots.outstanding) == 0 {
		delete(h.queues, revision)
	}
}

// Fail answers everybody who waits for a revision that can never answer.
func (h *Hold) Fail(revision model.Key, reason string) {
	verdict := Verdict{Code: Unavailable, Reason: fmt.Sprintf("revision %s cannot start: %s", revision, reason)}
	h.dismiss(revision, func(*entry) (Verdict, bool) { return verdict, true })
}

// Deleted routes those anew who wait for a revision that does not exist any more; those for whom Envoy has picked it are
// answered.
func (h *Hold) Deleted(revision model.Key) {
	verdict := Verdict{Code: Unavailable, Reason: fmt.Sprintf("revision %s does not exist any more", revision)}
	h.dismiss(revision, func(e *entry) (Verdict, bool) {
		if e.vhost == "" {
			return verdict, true
		}
		return Verdict{Code: reroute}, true
	})
}

// Rerouted looks again at who came by one of these virtual hosts, after they were changed: those whose host no longer
// gives their cluster a share are routed anew. Where Envoy has picked, the pick stays.
func (h *Hold) Rerouted(vhosts map[string]struct{}) {
	for revision, entries := range h.cameBy(vhosts) {
		verdicts := make(map[*entry]Verdict, len(entries))
		for _, e := range entries {
			route, _, gone := h.route(e.request)
			switch {
			case gone != nil:
				verdicts[e] = *gone
			case !serves(route, e.choice.Cluster):
				verdicts[e] = Verdict{Code: reroute}
			}
		}
		h.dismiss(revision, func(e *entry) (Verdict, bool) {
			verdict, out := verdicts[e]
			return verdict, out
		})
	}
}

// cameBy lists the requests that wait by one of these virtual hosts.
func (h *Hold) cameBy(vhosts map[string]struct{}) map[model.Key][]*entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[model.Key][]*entry{}
	for revision, q := range h.queues {
		q.each(func(e *entry) {
			if _, touched := vhosts[e.vhost]; touched {
				out[revision] = append(out[revision], e)
			}
		})
	}
	return out
}

// dismiss takes out the entries for which f has a verdict.
func (h *Hold) dismiss(revision model.Key, f func(*entry) (Verdict, bool)) {
	h.mu.Lock()
	q, ok := h.queues[revision]
	if !ok {
		h.mu.Unlock()
		return
	}
	var out []*entry
	q.each(func(e *entry) {
		if verdict, dismissed := f(e); dismissed {
			e.verdict <- verdict
			out = append(out, e)
		}
	})
	for _, e := range out {
		q.remove(e)
	}
	h.total -= len(out)
	h.tidy(revision, q)
	h.mu.Unlock()
	if len(out) > 0 {
		h.changed(revision)
	}
}
