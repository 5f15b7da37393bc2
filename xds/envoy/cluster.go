package envoy

import (
	"math"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	leastrequestv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"ebb.dev/ebb/xds/model"
)

const (
	// connectTimeout is long for a pod network and short for a person; past it the next host is tried.
	connectTimeout = time.Second
	// endpointsFetch bounds how long a cluster without endpoints warms.
	endpointsFetch = time.Second
	// appIdle closes an idle connection to the app before the app does: five seconds is the shortest default among
	// common servers, and a request on a connection that the app is closing is lost.
	appIdle = 3 * time.Second
	// unlimited is what Envoy takes for no limit.
	unlimited = math.MaxUint32
	// pendingPerSlot and minPending bound the queue before a replica, like Knative's queue-proxy.
	pendingPerSlot = 10
	minPending     = 100
	// httpOptions is where a cluster's HTTP protocol is said.
	httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
)

// Cluster is how a gateway reaches a revision: endpoints over ADS, the freest replica first, mTLS to the workload.
func Cluster(options Options, c model.Cluster) *clusterv3.Cluster {
	alpn := "http/1.1"
	if c.Protocol == model.H2C {
		alpn = "h2"
	}
	cluster := &clusterv3.Cluster{
		Name:                 c.Name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: fromADS(endpointsFetch)},
		ConnectTimeout:       duration(connectTimeout),
		LoadBalancingPolicy:  freestHost(),
		// Unready and draining endpoints get nothing, however many they are.
		CommonLbConfig:                &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: 0}},
		CircuitBreakers:               breakers(unlimited, unlimited, unlimited),
		OutlierDetection:              ejectUnreachable(),
		TypedExtensionProtocolOptions: protocolOptions(c.Protocol, nil, time.Minute),
	}
	if c.Revision != (model.Key{}) {
		cluster.AltStatName = model.RevisionStat(c.Revision)
	}
	if len(c.Identities) > 0 && !options.Plaintext {
		cluster.TransportSocket = UpstreamTLS(alpn, c.Identities)
	}
	return cluster
}

// freestHost looks at every endpoint: with the default of two random ones, a replica at its limit would be asked while
// another is idle.
func freestHost() *clusterv3.LoadBalancingPolicy {
	return &clusterv3.LoadBalancingPolicy{Policies: []*clusterv3.LoadBalancingPolicy_Policy{{
		TypedExtensionConfig: &corev3.TypedExtensionConfig{
			Name: "envoy.load_balancing_policies.least_request",
			TypedConfig: mustAny(&leastrequestv3.LeastRequest{
				SelectionMethod: leastrequestv3.LeastRequest_FULL_SCAN,
			}),
		},
	}}}
}

// ejectUnreachable takes a replica that cannot be connected to out for a moment, but never more than half of them.
func ejectUnreachable() *clusterv3.OutlierDetection {
	return &clusterv3.OutlierDetection{
		Interval:                           duration(time.Second),
		BaseEjectionTime:                   duration(time.Second),
		MaxEjectionPercent:                 uint32Value(50),
		SplitExternalLocalOriginErrors:     true,
		ConsecutiveLocalOriginFailure:      uint32Value(3),
		EnforcingConsecutive_5Xx:           uint32Value(0),
		EnforcingConsecutiveGatewayFailure: uint32Value(0),
		EnforcingSuccessRate:               uint32Value(0),
		EnforcingLocalOriginSuccessRate:    uint32Value(0),
	}
}

func breakers(connections, pending, requests uint32) *clusterv3.CircuitBreakers {
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections:     uint32Value(connections),
		MaxPendingRequests: uint32Value(pending),
		MaxRequests:        uint32Value(requests),
		MaxRetries:         uint32Value(unlimited),
	}}}
}

func protocolOptions(protocol model.Protocol, maxStreams *uint32, idle time.Duration) map[string]*anypb.Any {
	options := &httpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: duration(idle)},
	}
	explicit := &httpv3.HttpProtocolOptions_ExplicitHttpConfig{}
	if protocol == model.H2C {
		h2 := &corev3.Http2ProtocolOptions{AllowConnect: true}
		if maxStreams != nil {
			h2.MaxConcurrentStreams = uint32Value(*maxStreams)
		}
		explicit.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: h2}
	} else {
		explicit.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
		}
	}
	options.UpstreamProtocolOptions = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: explicit}
	return map[string]*anypb.Any{httpOptions: mustAny(options)}
}

// Endpoints are a cluster's addresses with their health.
func Endpoints(e model.Endpoints) *endpointv3.ClusterLoadAssignment {
	assignment := &endpointv3.ClusterLoadAssignment{ClusterName: e.Cluster}
	if len(e.Items) == 0 {
		return assignment
	}
	locality := &endpointv3.LocalityLbEndpoints{}
	for _, item := range e.Items {
		locality.LbEndpoints = append(locality.LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
				Address: socketAddress(model.Address{Host: item.Address, Port: item.Port}),
			}},
			HealthStatus: healthStatus(item.Health),
		})
	}
	assignment.Endpoints = []*endpointv3.LocalityLbEndpoints{locality}
	return assignment
}

func healthStatus(h model.Health) corev3.HealthStatus {
	switch h {
	case model.Healthy:
		return corev3.HealthStatus_HEALTHY
	case model.Draining:
		return corev3.HealthStatus_DRAINING
	default:
		return corev3.HealthStatus_UNHEALTHY
	}
}

// QueueOf is how many requests wait before one replica of this concurrency at most.
func QueueOf(concurrency uint32) uint32 {
	return uint32(min(max(uint64(concurrency)*pendingPerSlot, minPending), unlimited))
}

// AppCluster is how a replica's proxy reaches the app, with the revision's concurrency as its breaker: HTTP/1.1 has one
// request a connection, so max_connections is the limit and the pending queue is the queue; over HTTP/2 it is one
// connection with max_concurrent_streams.
func AppCluster(r model.Replica) *clusterv3.Cluster {
	connections, pending := uint32(unlimited), uint32(unlimited)
	var maxStreams *uint32
	if n := r.Revision.Concurrency; n > 0 {
		connections, pending = n, QueueOf(n)
		if r.Revision.Protocol == model.H2C {
			connections, maxStreams = 1, &n
		}
	}
	name := model.AppClusterName(r.Pod)
	return &clusterv3.Cluster{
		Name:                          name,
		AltStatName:                   model.RevisionStat(r.Revision.Key),
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:                duration(connectTimeout),
		CircuitBreakers:               breakers(connections, pending, unlimited),
		TypedExtensionProtocolOptions: protocolOptions(r.Revision.Protocol, maxStreams, appIdle),
		LoadAssignment: Endpoints(model.Endpoints{Cluster: name, Items: []model.Endpoint{{
			Replica: r.Pod, Address: r.App.Host, Port: r.App.Port, Health: model.Healthy,
		}}}),
	}
}
