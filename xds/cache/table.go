package cache

import (
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	gcp "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
)

// maxUnacked bounds the responses of one type that are on their way; past it changes gather until an ACK comes. Envoy
// withholds the ACK for clusters while any cluster warms, hence not 1.
const maxUnacked = 16

// table is what one proxy should have of one type, and what it is known to have on its present stream.
type table struct {
	rows map[string]*Row
	// dirty names rows that may differ from what was sent; only these are looked at.
	dirty map[string]struct{}

	// The rest is the client's side and starts anew with each stream.
	// asked is set by the type's first request on the stream; open is false for the moment between two watches.
	asked, open bool
	request     *discovery.DeltaDiscoveryRequest
	out         chan gcp.DeltaResponse
	subscribed  map[string]struct{}
	sent        map[string]string
	acked       map[string]string
	refused     map[string]Refusal
	// again lists removals of a refused response, to be sent on their own; alone lists its rows, to be sent one by one
	// after them. tries counts how often each of those was: what it clashed with may be put right by one that follows.
	again, alone []string
	tries        map[string]int
	// queued is a response that the stream's goroutine has not picked up yet.
	queued *discovery.DeltaDiscoveryResponse
	// batches are the responses without an answer, by nonce.
	batches map[string]batch
	// answered is set by the first ACK or refusal: the client has this type's state in hand.
	answered bool
}

// batch is the content of one response: versions by name, "" for a removal.
type batch map[string]string

func newTable() *table {
	t := &table{rows: map[string]*Row{}, dirty: map[string]struct{}{}}
	t.forgetClient()
	return t
}

// forgetClient drops what is known of the client when its stream ends: a new one tells anew.
func (t *table) forgetClient() {
	t.asked, t.open, t.answered = false, false, false
	t.request, t.out, t.queued, t.again, t.alone = nil, nil, nil, nil, nil
	t.tries = map[string]int{}
	t.subscribed = map[string]struct{}{}
	t.sent = map[string]string{}
	t.acked = map[string]string{}
	t.refused = map[string]Refusal{}
	t.batches = map[string]batch{}
	for name := range t.rows {
		t.dirty[name] = struct{}{}
	}
}

// adopt takes over what a reconnecting client says it has. What it has beyond our rows stays until somebody who knows the
// order deletes it.
func (t *table) adopt(versions map[string]string) {
	for name, version := range versions {
		t.sent[name], t.acked[name] = version, version
	}
}

// subscribe records names that the client asks for. A name asked for again is sent again, changed or not: that is how a
// client which dropped it gets it back.
func (t *table) subscribe(names []string, first bool) {
	for _, name := range names {
		if name == "*" {
			continue
		}
		t.subscribed[name] = struct{}{}
		if !first {
			delete(t.sent, name)
			delete(t.acked, name)
		}
		t.dirty[name] = struct{}{}
	}
}

func (t *table) unsubscribe(names []string) {
	for _, name := range names {
		delete(t.subscribed, name)
		delete(t.sent, name)
		delete(t.acked, name)
	}
}

// wants reports whether the client is to have the name.
func (t *table) wants(typ Type, name string) bool {
	if wildcard[typ] {
		return true
	}
	_, ok := t.subscribed[name]
	return ok
}

// next builds the response for what is dirty, or nil when there is nothing to say now.
func (t *table) next(typ Type) *discovery.DeltaDiscoveryResponse {
	if !t.open || t.queued != nil || len(t.batches) >= maxUnacked {
		return nil
	}
	if response := t.nextAgain(typ); response != nil {
		return response
	}
	if response := t.nextAlone(typ); response != nil {
		return response
	}
	response := &discovery.DeltaDiscoveryResponse{TypeUrl: typ}
	for name := range t.dirty {
		delete(t.dirty, name)
		t.add(response, typ, name)
	}
	// The first answer is owed even when it is empty: a listener waits for its virtual hosts.
	if len(response.Resources) == 0 && len(response.RemovedResources) == 0 && (t.answered || len(t.batches) > 0) {
		return nil
	}
	return response
}

func (t *table) nextAgain(typ Type) *discovery.DeltaDiscoveryResponse {
	if len(t.again) == 0 {
		return nil
	}
	response := &discovery.DeltaDiscoveryResponse{TypeUrl: typ}
	for _, name := range t.again {
		if _, exists := t.rows[name]; !exists {
			response.RemovedResources = append(response.RemovedResources, name)
		}
	}
	t.again = nil
	if len(response.RemovedResources) == 0 {
		return nil
	}
	return response
}

func (t *table) nextAlone(typ Type) *discovery.DeltaDiscoveryResponse {
	for len(t.alone) > 0 {
		name := t.alone[0]
		t.alone = t.alone[1:]
		delete(t.sent, name)
		delete(t.dirty, name)
		response := &discovery.DeltaDiscoveryResponse{TypeUrl: typ}
		t.add(response, typ, name)
		if len(response.Resources) > 0 {
			return response
		}
	}
	return nil
}

// add puts a row or its removal into the response if the client lacks it, and counts it as sent.
func (t *table) add(response *discovery.DeltaDiscoveryResponse, typ Type, name string) {
	row, exists := t.rows[name]
	sent, known := t.sent[name]
	switch {
	case exists && t.wants(typ, name) && sent != row.Version:
		response.Resources = append(response.Resources, &discovery.Resource{Name: name, Version: row.Version, Resource: row.body})
		t.sent[name] = row.Version
	case !exists && known:
		response.RemovedResources = append(response.RemovedResources, name)
		delete(t.sent, name)
	case !exists && !known && t.wants(typ, name) && !wildcard[typ]:
		// A name that does not exist is answered as removed, so that nobody waits for it.
		response.RemovedResources = append(response.RemovedResources, name)
	}
}

// sentAs remembers a response under the nonce it got.
func (t *table) sentAs(nonce string, response *discovery.DeltaDiscoveryResponse) {
	content := make(batch, len(response.Resources)+len(response.RemovedResources))
	for _, resource := range response.Resources {
		content[resource.Name] = resource.Version
	}
	for _, name := range response.RemovedResources {
		content[name] = ""
	}
	t.batches[nonce] = content
}

// accept takes a response's content as what the client has.
func (t *table) accept(content batch) {
	t.answered = true
	for name, version := range content {
		delete(t.refused, name)
		delete(t.tries, name)
		if version == "" {
			if _, again := t.sent[name]; !again {
				delete(t.acked, name)
			}
			continue
		}
		if _, still := t.sent[name]; still {
			t.acked[name] = version
		}
	}
}

// most is how often a row of a refused response is tried alone.
const most = 2

// refuse handles a NACK: a row that came alone is the culprit, several are tried alone. Removals beside them count as not
// done, for Envoy takes virtual hosts whole or not at all; nothing but removals is not tried again.
func (t *table) refuse(proxy string, typ Type, content batch, message string) (Refusal, bool) {
	t.answered = true
	var names, removals []string
	for name, version := range content {
		if version == "" {
			removals = append(removals, name)
		} else {
			names = append(names, name)
		}
	}
	switch {
	case len(names) == 0:
		for _, name := range removals {
			delete(t.acked, name)
		}
		return Refusal{}, false
	case len(content) > 1:
		t.again = append(t.again, removals...)
		for _, name := range names {
			t.tries[name] = 1
		}
		t.alone = append(t.alone, names...)
		return Refusal{}, false
	case t.tries[names[0]] > 0 && t.tries[names[0]] < most:
		t.tries[names[0]]++
		t.alone = append(t.alone, names[0])
		return Refusal{}, false
	}
	name := names[0]
	delete(t.tries, name)
	refusal := Refusal{Proxy: proxy, Type: typ, Name: name, Version: content[name], Message: message}
	if row := t.rows[name]; row != nil {
		refusal.Owner = row.Owner
	}
	t.refused[name] = refusal
	return refusal, true
}
