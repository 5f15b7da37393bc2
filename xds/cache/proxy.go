package cache

import (
	"context"
	"sort"
	"sync"
	"time"
)

// Proxy is one Envoy's rows and ledger. Rows may be put before it ever connects.
type Proxy struct {
	ID string

	mu     sync.Mutex
	tables map[Type]*table
	// stream is the ADS stream of now, 0 for none. Answers on an older one count for nothing.
	stream    int64
	connected bool
	// away is since when it is not connected.
	away time.Time
	// changed is closed and replaced whenever the ledger moves.
	changed chan struct{}
	// moved gathers what moved until somebody takes it; onMove is told that there is something.
	moved  map[Type]map[string]struct{}
	onMove func()
}

func newProxy(id string, now time.Time) *Proxy {
	return &Proxy{ID: id, away: now, tables: map[Type]*table{}, changed: make(chan struct{}), moved: map[Type]map[string]struct{}{}}
}

func (p *Proxy) table(typ Type) *table {
	t, ok := p.tables[typ]
	if !ok {
		t = newTable()
		p.tables[typ] = t
	}
	return t
}

// Apply puts and deletes rows and sends what the proxy lacks. It never blocks on the proxy.
func (p *Proxy) Apply(changes ...Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, change := range changes {
		t := p.table(change.Type)
		for _, row := range change.Put {
			old := t.rows[row.Name]
			t.rows[row.Name] = row
			t.dirty[row.Name] = struct{}{}
			if change.Type == Clusters && old != nil && old.Version != row.Version {
				p.resendEndpoints(row.Name)
			}
		}
		for _, name := range change.Delete {
			delete(t.rows, name)
			t.dirty[name] = struct{}{}
		}
	}
	p.flush()
}

// resendEndpoints makes a changed cluster's endpoints go out once more: Envoy warms the new version of the cluster on an
// endpoints message, and does not ask for a name it is subscribed to already.
func (p *Proxy) resendEndpoints(cluster string) {
	endpoints := p.table(Endpoints)
	delete(endpoints.sent, cluster)
	endpoints.dirty[cluster] = struct{}{}
}

func (p *Proxy) adopt(stream int64, typ Type, versions map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stream != stream {
		return
	}
	p.table(typ).adopt(versions)
	names := make([]string, 0, len(versions))
	for name := range versions {
		names = append(names, name)
	}
	p.ledgerMoved(typ, names...)
}

// flush queues what can be sent now. The caller holds mu.
func (p *Proxy) flush() {
	for _, typ := range sendOrder {
		t, ok := p.tables[typ]
		if !ok {
			continue
		}
		if response := t.next(typ); response != nil {
			t.queued = response
			// Never blocks: at most one response of a type is in the channel, which holds two of each.
			t.out <- &readyResponse{request: t.request, response: response}
		}
	}
}

// ledgerMoved wakes everybody who waits. The caller holds mu.
func (p *Proxy) ledgerMoved(typ Type, names ...string) {
	close(p.changed)
	p.changed = make(chan struct{})
	if len(names) == 0 || p.onMove == nil {
		return
	}
	set, ok := p.moved[typ]
	if !ok {
		set = make(map[string]struct{}, len(names))
		p.moved[typ] = set
	}
	for _, name := range names {
		set[name] = struct{}{}
	}
	p.onMove()
}

// TakeMoved returns the names whose state at the proxy (subscribed, accepted, refused) changed since the last call.
func (p *Proxy) TakeMoved() map[Type]map[string]struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	moved := p.moved
	p.moved = map[Type]map[string]struct{}{}
	return moved
}

// Put returns the version of the row the proxy should have, or "" for none.
func (p *Proxy) Put(typ Type, name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if row := p.table(typ).rows[name]; row != nil {
		return row.Version
	}
	return ""
}

// Acked returns the version the proxy last accepted, or "" when it has none.
func (p *Proxy) Acked(typ Type, name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.table(typ).acked[name]
}

// Current reports whether the proxy has accepted the row exactly as it should be now; a row that should not exist is
// current once its removal was accepted. A proxy that is not connected has nothing that is current.
func (p *Proxy) Current(typ Type, name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current(typ, name)
}

func (p *Proxy) current(typ Type, name string) bool {
	t := p.table(typ)
	if !p.connected || !t.asked {
		return false
	}
	row := t.rows[name]
	if row == nil {
		_, sent := t.sent[name]
		_, acked := t.acked[name]
		return !sent && !acked && !t.pendingRemoval(name)
	}
	return t.acked[name] == row.Version
}

// pendingRemoval reports whether a removal of the name is on its way.
func (t *table) pendingRemoval(name string) bool {
	if t.queued != nil {
		for _, removed := range t.queued.RemovedResources {
			if removed == name {
				return true
			}
		}
	}
	for _, removed := range t.again {
		if removed == name {
			return true
		}
	}
	for _, content := range t.batches {
		if version, ok := content[name]; ok && version == "" {
			return true
		}
	}
	return false
}

// Has reports whether the proxy has, or may have, any version of the row.
func (p *Proxy) Has(typ Type, name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.table(typ)
	_, sent := t.sent[name]
	_, acked := t.acked[name]
	return sent || acked || t.pendingRemoval(name)
}

// Subscribed reports whether the proxy asked for the name.
func (p *Proxy) Subscribed(typ Type, name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.table(typ).subscribed[name]
	return ok
}

// Asked reports whether the proxy has asked for the type on its present stream; before it did, nobody knows what it has.
func (p *Proxy) Asked(typ Type) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connected && p.table(typ).asked
}

// Refused returns the proxy's refusal of the row as it should be now.
func (p *Proxy) Refused(typ Type, name string) (Refusal, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.table(typ)
	refusal, ok := t.refused[name]
	if row := t.rows[name]; !ok || row == nil || row.Version != refusal.Version {
		return Refusal{}, false
	}
	return refusal, true
}

// Names lists what the proxy should have of a type.
func (p *Proxy) Names(typ Type) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.table(typ)
	names := make([]string, 0, len(t.rows))
	for name := range t.rows {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Row returns the row that the proxy should have, or nil.
func (p *Proxy) Row(typ Type, name string) *Row {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.table(typ).rows[name]
}

// Known lists the names that the proxy has or may have, among them those it brought from before we started.
func (p *Proxy) Known(typ Type) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.table(typ)
	set := make(map[string]struct{}, len(t.sent))
	for name := range t.sent {
		set[name] = struct{}{}
	}
	for name := range t.acked {
		set[name] = struct{}{}
	}
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Connected reports whether an ADS stream is open.
func (p *Proxy) Connected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connected
}

// Away reports whether no ADS stream is open, and since when.
func (p *Proxy) Away() (since time.Time, away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.away, !p.connected
}

// WaitCurrent returns when the proxy has accepted the row as it should be at that moment, or with the context's error,
// or with a Refusal.
func (p *Proxy) WaitCurrent(ctx context.Context, typ Type, name string) error {
	for {
		p.mu.Lock()
		done := p.current(typ, name)
		refusal, refused := p.table(typ).refused[name]
		row := p.table(typ).rows[name]
		changed := p.changed
		p.mu.Unlock()
		switch {
		case done:
			return nil
		case refused && row != nil && row.Version == refusal.Version:
			return refusal
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
