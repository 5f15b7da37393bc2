package ingress

import (
	"maps"
	"net"
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
}

// Registry is Streams that are set one by one. Looking up takes no lock. The zero value is empty.
type Registry struct {
	mu      sync.Mutex
	current atomic.Pointer[snapshot]
}

var _ Streams = (*Registry)(nil)

// snapshot is never changed after it was stored.
type snapshot struct {
	streams map[model.StreamID]model.Stream
	brokers map[model.Key]model.StreamID
	hosts   map[string]model.StreamID
}

// Set adds a stream or replaces it.
func (r *Registry) Set(s model.Stream) {
	r.change(func(streams map[model.StreamID]model.Stream) { streams[s.ID] = s })
}

// Delete drops a stream: requests for it get 404 from now on.
func (r *Registry) Delete(id model.StreamID) {
	r.change(func(streams map[model.StreamID]model.Stream) { delete(streams, id) })
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

// hostname is a request's host as streams have it.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
