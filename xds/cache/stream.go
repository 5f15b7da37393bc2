package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	gcp "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
)

// Authorize says which proxy a stream belongs to. It reads the identity from the stream's context (the certificate) and
// refuses a node ID or a type that this identity may not have. Only the first request of a stream carries the node.
type Authorize func(ctx context.Context, node *core.Node, typ Type) (proxyID string, err error)

// Cache holds the proxies. It serves go-control-plane's delta server as its ConfigWatcher and its Callbacks.
type Cache struct {
	authorize Authorize
	// OnRefused is told each row that a proxy refuses.
	OnRefused func(Refusal)
	// OnFirst is called when a proxy asks for a type for the first time on a stream, after what it already has was taken
	// over and before it is answered: the last moment to put rows so that nothing it needs is taken away. OnDisconnect is
	// told of a stream's end.
	OnFirst      func(proxyID string, typ Type)
	OnDisconnect func(proxyID string)
	// Now is the clock.
	Now func() time.Time

	mu      sync.Mutex
	proxies map[string]*Proxy
	streams map[int64]*stream
	// requests ties a request to its stream between the callback and the watch, which follow each other at once.
	requests map[*discovery.DeltaDiscoveryRequest]*stream
}

// stream is one ADS stream. Its fields are touched by its own goroutine alone.
type stream struct {
	id    int64
	ctx   context.Context
	node  *core.Node
	proxy *Proxy
	first map[Type]bool
}

// New makes an empty cache.
func New(authorize Authorize) *Cache {
	return &Cache{
		authorize: authorize,
		Now:       time.Now,
		proxies:   map[string]*Proxy{},
		streams:   map[int64]*stream{},
		requests:  map[*discovery.DeltaDiscoveryRequest]*stream{},
	}
}

// Proxy returns the rows of a proxy, which need not have connected yet.
func (c *Cache) Proxy(id string) *Proxy {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proxy(id)
}

// proxy is Proxy for callers that hold mu.
func (c *Cache) proxy(id string) *Proxy {
	p, ok := c.proxies[id]
	if !ok {
		p = newProxy(id, c.Now())
		c.proxies[id] = p
	}
	return p
}

// Watch makes f be called whenever there is something to take with TakeMoved. f must not block and must not call the
// proxy back.
func (c *Cache) Watch(id string, f func()) {
	p := c.Proxy(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onMove = f
}

// Forget drops a proxy and its rows. One that is connected stays; then it reports false.
func (c *Cache) Forget(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.proxies[id]
	if !ok {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.connected {
		return false
	}
	delete(c.proxies, id)
	return true
}

// Proxies lists the IDs of all proxies known.
func (c *Cache) Proxies() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]string, 0, len(c.proxies))
	for id := range c.proxies {
		ids = append(ids, id)
	}
	return ids
}

// readyResponse carries a ready-made response through go-control-plane's stream loop.
type readyResponse struct {
	request  *discovery.DeltaDiscoveryRequest
	response *discovery.DeltaDiscoveryResponse
}

func (r *readyResponse) GetDeltaDiscoveryResponse() (*discovery.DeltaDiscoveryResponse, error) {
	return r.response, nil
}
func (r *readyResponse) GetDeltaRequest() *discovery.DeltaDiscoveryRequest { return r.request }
func (r *readyResponse) GetSystemVersion() (string, error)                 { return "", nil }
func (r *readyResponse) GetResponseVersion() string                        { return "" }
func (r *readyResponse) GetNextVersionMap() map[string]string              { return map[string]string{} }
func (r *readyResponse) GetReturnedResources() map[string]string           { return map[string]string{} }
func (r *readyResponse) GetContext() context.Context                       { return context.Background() }

// OnDeltaStreamOpen is the first sign of a stream.
func (c *Cache) OnDeltaStreamOpen(ctx context.Context, id int64, _ string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams[id] = &stream{id: id, ctx: ctx, first: map[Type]bool{}}
	return nil
}

// OnStreamDeltaRequest authorises the request and takes its ACK or NACK.
func (c *Cache) OnStreamDeltaRequest(id int64, request *discovery.DeltaDiscoveryRequest) error {
	c.mu.Lock()
	s := c.streams[id]
	c.mu.Unlock()
	if s == nil {
		return fmt.Errorf("stream %d is not open", id)
	}
	if request.GetNode() != nil {
		s.node = request.GetNode()
	}
	if s.node == nil {
		return errors.New("the first request names no node")
	}
	proxyID, err := c.authorize(s.ctx, s.node, request.GetTypeUrl())
	if err != nil {
		return err
	}
	if s.proxy == nil {
		s.proxy = c.connect(s, proxyID)
	} else if s.proxy.ID != proxyID {
		return fmt.Errorf("proxy %s may not become %s on one stream", s.proxy.ID, proxyID)
	}
	if nonce := request.GetResponseNonce(); nonce != "" {
		c.answer(s, request.GetTypeUrl(), nonce, request)
	}
	c.mu.Lock()
	c.requests[request] = s
	c.mu.Unlock()
	return nil
}

// connect makes the stream the proxy's present one. It is one step with the look-up, so that no proxy is forgotten
// between them.
func (c *Cache) connect(s *stream, proxyID string) *Proxy {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.proxy(proxyID)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tables {
		t.forgetClient()
	}
	p.stream, p.connected = s.id, true
	return p
}

func (c *Cache) answer(s *stream, typ Type, nonce string, request *discovery.DeltaDiscoveryRequest) {
	p := s.proxy
	p.mu.Lock()
	t := p.table(typ)
	content, ok := t.batches[nonce]
	if !ok || p.stream != s.id {
		p.mu.Unlock()
		return
	}
	delete(t.batches, nonce)
	var refusal Refusal
	named := false
	if detail := request.GetErrorDetail(); detail != nil {
		refusal, named = t.refuse(p.ID, typ, content, detail.GetMessage())
	} else {
		t.accept(content)
	}
	names := make([]string, 0, len(content))
	for name := range content {
		names = append(names, name)
	}
	p.ledgerMoved(typ, names...)
	p.mu.Unlock()
	if named && c.OnRefused != nil {
		c.OnRefused(refusal)
	}
}

// CreateDeltaWatch opens the type's channel to the proxy; it stays in use until it is cancelled, which go-control-plane
// does at the type's next request and at the stream's end.
func (c *Cache) CreateDeltaWatch(request *discovery.DeltaDiscoveryRequest, subscription gcp.Subscription, out chan gcp.DeltaResponse) (func(), error) {
	c.mu.Lock()
	s := c.requests[request]
	delete(c.requests, request)
	c.mu.Unlock()
	if s == nil {
		return nil, errors.New("a watch without its request")
	}
	typ := request.GetTypeUrl()
	p := s.proxy
	first := !s.first[typ]
	if first {
		s.first[typ] = true
		p.adopt(s.id, typ, subscription.ReturnedResources())
		if c.OnFirst != nil {
			c.OnFirst(p.ID, typ)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stream != s.id {
		return nil, fmt.Errorf("proxy %s has opened another stream", p.ID)
	}
	t := p.table(typ)
	t.subscribe(request.GetResourceNamesSubscribe(), first)
	t.unsubscribe(request.GetResourceNamesUnsubscribe())
	t.asked, t.open, t.request, t.out = true, true, request, out
	p.flush()
	if subscribed := request.GetResourceNamesSubscribe(); len(subscribed) > 0 {
		p.ledgerMoved(typ, subscribed...)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.stream == s.id {
			t.open = false
		}
	}, nil
}

// OnStreamDeltaResponse learns the nonce of a response and frees its place in the channel.
func (c *Cache) OnStreamDeltaResponse(id int64, request *discovery.DeltaDiscoveryRequest, response *discovery.DeltaDiscoveryResponse) {
	c.mu.Lock()
	s := c.streams[id]
	c.mu.Unlock()
	if s == nil || s.proxy == nil {
		return
	}
	p := s.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.table(request.GetTypeUrl())
	if p.stream != s.id || t.queued != response {
		return
	}
	t.queued = nil
	t.sentAs(response.GetNonce(), response)
	p.flush()
}

// OnDeltaStreamClosed forgets the stream; the proxy's rows stay.
func (c *Cache) OnDeltaStreamClosed(id int64, _ *core.Node) {
	c.mu.Lock()
	s := c.streams[id]
	delete(c.streams, id)
	for request, owner := range c.requests {
		if owner == s {
			delete(c.requests, request)
		}
	}
	c.mu.Unlock()
	if s == nil || s.proxy == nil {
		return
	}
	p := s.proxy
	p.mu.Lock()
	mine := p.stream == id
	if mine {
		for _, t := range p.tables {
			t.forgetClient()
		}
		p.stream, p.connected, p.away = 0, false, c.Now()
		p.ledgerMoved("")
	}
	p.mu.Unlock()
	if mine && c.OnDisconnect != nil {
		c.OnDisconnect(p.ID)
	}
}

// CreateWatch refuses the state-of-the-world protocol.
func (c *Cache) CreateWatch(*gcp.Request, gcp.Subscription, chan gcp.Response) (func(), error) {
	return nil, errors.New("Ebb speaks delta xDS only")
}
