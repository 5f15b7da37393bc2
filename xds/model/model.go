package model

import (
	"strconv"
	"strings"
	"time"

	"ebb.dev/ebb/crds/async"
)

// Protocol is what the app speaks on its port.
type Protocol string

const (
	// HTTP1 is HTTP/1.1, the default.
	HTTP1 Protocol = "http1"
	// H2C is HTTP/2 without TLS, chosen by the port name h2c; gRPC needs it.
	H2C Protocol = "h2c"
)

// VHost is one group of hosts that are routed alike.
type VHost struct {
	// Name is VHostName of the first domain.
	Name   string
	Config RouteConfig
	Owner  Owner
	// Since is when the owner was made: of several that ask for one domain the oldest has it.
	Since   time.Time
	Domains []string
	// Routes are tried in order; the first match wins.
	Routes []Route
}

// Route says where requests of one path and set of headers go.
type Route struct {
	// PathPrefix is "/" when the ingress names none.
	PathPrefix string
	// Headers must all be present with exactly this value.
	Headers []Header
	// Prefer narrows the route by the request's Prefer header; the zero value does not.
	Prefer Preference
	// Aside leads away from the host's own backends: alone it keeps no virtual host at a gateway.
	Aside bool
	// RewriteHost replaces the Host header when not empty.
	RewriteHost string
	// AppendHeaders are set on the request.
	AppendHeaders []Header
	// Splits share the requests; their weights add up to 100.
	Splits []Split
}

// Weight is that of all its splits.
func (r Route) Weight() (total uint32) {
	for _, split := range r.Splits {
		total += split.Weight
	}
	return total
}

// Header is a request header and its exact value.
type Header struct{ Name, Value string }

// Preference says which requests fit by their Prefer header (RFC 7240): those that name it, or those that do not.
type Preference struct {
	Name   async.Preference
	Absent bool
}

// Split is one share of a route.
type Split struct {
	Cluster string
	// Revision is zero for a plain Kubernetes Service, which is never held.
	Revision Key
	// Weight is a percentage, 0 to 100.
	Weight        uint32
	AppendHeaders []Header
	// Hold asks the hold server before a request of this share goes on: the revision is cold.
	Hold bool
}

// Cluster is how a gateway reaches the replicas of one revision, or the endpoints of one plain Service.
type Cluster struct {
	Name     string
	Owner    Owner
	Revision Key
	Protocol Protocol
	// Identities are the SPIFFE IDs that the far side may present; none means plain text.
	Identities []string
}

// Health is what a gateway is told of an endpoint.
type Health int

const (
	// Healthy endpoints get requests.
	Healthy Health = iota
	// Unready endpoints get none: the app does not answer yet.
	Unready
	// Draining endpoints get no new request and keep those they have.
	Draining
)

// Endpoint is one address of a cluster.
type Endpoint struct {
	// Replica is the pod behind the address.
	Replica Key
	Address string
	Port    uint32
	Health  Health
}

// Endpoints are all addresses of a cluster, sorted by address and port.
type Endpoints struct {
	Cluster string
	Items   []Endpoint
}

// Ready counts the endpoints that get requests.
func (e Endpoints) Ready() int {
	n := 0
	for _, item := range e.Items {
		if item.Health == Healthy {
			n++
		}
	}
	return n
}

// Timeouts bound a request at the replica's proxy; zero means no bound.
type Timeouts struct {
	// Request is from the request's end to the response's end (timeoutSeconds).
	Request time.Duration
	// ResponseStart is until the response's first byte (responseStartTimeoutSeconds).
	ResponseStart time.Duration
	// Idle is between two bytes (idleTimeoutSeconds).
	Idle time.Duration
}

// Revision is what routing and replica proxies need to know of a revision.
type Revision struct {
	Key            Key
	UID            string
	Protocol       Protocol
	ServiceAccount string
	// Concurrency is the most requests one replica has in flight; 0 is no limit.
	Concurrency uint32
	Timeouts    Timeouts
	// Port is the container port that the app listens on.
	Port uint32
	// Probe is how readiness is found out; nil leaves it to the kubelet (exec probes).
	Probe *Probe
	// Failed says why the revision can never answer; empty while it may.
	Failed string
}

// ProbeKind is the way a probe asks.
type ProbeKind string

// The kinds of probe Envoy can carry out.
const (
	ProbeTCP  ProbeKind = "tcp"
	ProbeHTTP ProbeKind = "http"
	ProbeGRPC ProbeKind = "grpc"
)

// Probe is a readiness probe that Envoy carries out.
type Probe struct {
	Kind    ProbeKind
	Port    uint32
	Path    string
	Host    string
	Headers []Header
	// Service is the gRPC health service name.
	Service string
	// Period is 0 when the user named none: then as often as is cheap.
	Period           time.Duration
	InitialDelay     time.Duration
	Timeout          time.Duration
	SuccessThreshold uint32
}

// Replica is one pod of a revision, as its proxy serves it.
type Replica struct {
	Pod      Key
	UID      string
	Revision Revision
	// Proxy is the ID of the Envoy that serves it: "node/N/0" or "sidecar/namespace/pod".
	Proxy string
	// Listen is where that proxy accepts requests for the replica.
	Listen Address
	// App is where the app listens.
	App Address
}

// Account is the service account that it runs as.
func (r Replica) Account() Key {
	return Key{Namespace: r.Pod.Namespace, Name: r.Revision.ServiceAccount}
}

// HasSidecar reports whether its proxy serves it alone.
func (r Replica) HasSidecar() bool { return IsSidecar(r.Proxy) }

const (
	nodePrefix    = "node/"
	sidecarPrefix = "sidecar/"
)

// NodeProxyPrefix begins the IDs of a node's Envoys.
func NodeProxyPrefix(node string) string { return nodePrefix + node + "/" }

// NodeProxyID is the ID of one of a node's Envoys.
func NodeProxyID(node string, worker int) string { return NodeProxyPrefix(node) + strconv.Itoa(worker) }

// NodeOf is the node that a replica's proxy serves; empty for a sidecar.
func NodeOf(proxy string) string {
	rest, ok := strings.CutPrefix(proxy, nodePrefix)
	if !ok {
		return ""
	}
	node, _, _ := strings.Cut(rest, "/")
	return node
}

// SidecarID is the ID of the Envoy that serves a pod alone.
func SidecarID(pod Key) string { return sidecarPrefix + pod.String() }

// IsSidecar reports whether a proxy's ID is that of a sidecar.
func IsSidecar(proxyID string) bool { return strings.HasPrefix(proxyID, sidecarPrefix) }

// Address is an IP address and port.
type Address struct {
	Host string
	Port uint32
}
