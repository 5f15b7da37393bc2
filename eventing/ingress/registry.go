package ingress

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"ebb.dev/ebb/eventing/model"
)

// Streams says which streams there are. It is asked for every request.
type Streams interface {
	// Broker finds a Broker by its name.
	Broker(key model.Key) (model.Stream, bool)
	// Host finds what a host of its own was given for, in lower case and without a port.
	Host(host string) (model.Stream, bool)
	// Stream finds a stream.
	Stream(id model.StreamID) (model.Stream, bool)
	// Settled reports whether what is not found does not exist; otherwise it may come yet.
	Settled() bool
}

// Registry is Streams that are set one by one. Looking up takes no lock. The zero value is empty.
type Registry struct {
	mu      sync.Mutex
	current atomic.Pointer[snapshot]
	// coming are streams that were said to come and have not yet; waiting is there as long as there are some, and closed then.
	coming  map[model.StreamID]struct{}
	waiting atomic.Pointer[chan struct{}]
}

var _ Streams = (*Registry)(nil)

// snapshot is never changed after it was stored.
type snapshot struct {
	streams map[model.StreamID]model.Stream
	brokers map[model.Key]model.StreamID
	hosts   map[string]model.StreamID
}

// Expect says which streams are about to be set, after a start. Until all of them have been, or Settle is called, what is not found may come yet.
func (r *Registry) Expect(ids ...model.StreamID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.coming = map[model.StreamID]struct{}{}
	for _, id := range ids {
		r.coming[id] = struct{}{}
	}
	r.came()
}

// Settle ends waiting for what was expected.
func (r *Registry) Settle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.coming = nil
	r.settle()
}

// Settled reports whether all has come that was expected.
func (r *Registry) Settled() bool { return r.waiting.Load() == nil }

// came looks what of the expected there is by now. r.mu is held.
func (r *Registry) came() {
	if c := r.current.Load(); c != nil {
		for id := range r.coming {
			if _, has := c.streams[id]; has {
				delete(r.coming, id)
			}
		}
	}
	switch {
	case len(r.coming) == 0:
		r.settle()
	case r.Settled():
		waiting := make(chan struct{})
		r.waiting.Store(&waiting)
	}
}

// settle says that nothing is to come. r.mu is held.
func (r *Registry) settle() {
	if waiting := r.waiting.Swap(nil); waiting != nil {
		close(*waiting)
	}
}

// Wait returns once all has come that was expected, or fails with the context.
func (r *Registry) Wait(ctx context.Context) error {
	waiting := r.waiting.Load()
	if waiting == nil {
		return nil
	}
	select {
	case <-*waiting:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Set adds a stream or replaces it.
func (r *Registry) Set(s model.Stream) {
	r.change(func(streams map[model.StreamID]model.Stream) { streams[s.ID] = s })
}

// Delete drops a stream: requests for it get 404 from now on.
func (r *Registry) Delete(id model.StreamID) {
	r.change(func(streams map[model.StreamID]model.Stream) {
		delete(streams, id)
		delete(r.coming, id)
	})
}

// Replace sets all streams at once.
func (r *Registry) Replace(all []model.Stream) {
	r.change(func(streams map[model.StreamID]model.Stream) {
		clear(streams)
		for _, s := range all {
			streams[s.ID] = s
		}
	})
}

func (r *Registry) change(f func(map[model.StreamID]model.Stream)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := &snapshot{streams: make(map[model.StreamID]model.Stream), brokers: make(map[model.Key]model.StreamID), hosts: make(map[string]model.StreamID)}
	if old := r.current.Load(); old != nil {
		maps.Copy(next.streams, old.streams)
	}
	f(next.streams)
	for id, s := range next.streams {
		// A Broker that is made again is there twice until the old stream is gone; the later name wins every time alike.
		if other, has := next.brokers[s.Key]; s.Kind == model.Broker && (!has || other < id) {
			next.brokers[s.Key] = id
		}
		for _, host := range s.Hosts {
			host = strings.ToLower(host)
			if other, has := next.hosts[host]; !has || other < id {
				next.hosts[host] = id
			}
		}
	}
	r.current.Store(next)
	if !r.Settled() {
		r.came()
	}
}

// Broker finds a Broker by its name.
func (r *Registry) Broker(key model.Key) (model.Stream, bool) {
	c := r.current.Load()
	if c == nil {
		return model.Stream{}, false
	}
	s, ok := c.streams[c.brokers[key]]
	return s, ok
}

// Host finds what has a host of its own.
func (r *Registry) Host(host string) (model.Stream, bool) {
	c := r.current.Load()
	if c == nil {
		return model.Stream{}, false
	}
	s, ok := c.streams[c.hosts[host]]
	return s, ok
}

// Stream finds a stream.
func (r *Registry) Stream(id model.StreamID) (model.Stream, bool) {
	c := r.current.Load()
	if c == nil {
		return model.Stream{}, false
	}
	s, ok := c.streams[id]
	return s, ok
}

// All are all streams, in no order.
func (r *Registry) All() []model.Stream {
	c := r.current.Load()
	if c == nil {
		return nil
	}
	return slices.Collect(maps.Values(c.streams))
}

// Hostname is a request's host as streams have it: in lower case and without a port.
func Hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
