// Package bootstrap writes what an Envoy of Ebb's starts with: who it is, where the control plane and the agent are, what
// it measures.
//
// In: Settings. Out: the bootstrap, as a file of Envoy's. Everything else reaches the Envoy over xDS.
//
// Hard rule: nothing in it is secret, and no port is opened: the admin page is a unix socket.
package bootstrap

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/model"
)

// Kind is what the Envoy is for.
type Kind int

// The kinds of Envoy.
const (
	Gateway Kind = iota
	Replica
)

// FeedInterval is how often statistics are reported to the autoscaler.
const FeedInterval = 200 * time.Millisecond

// watchdogMiss is the silence after which Envoy counts a thread as stuck; it looks twice in that time.
const watchdogMiss = 5 * time.Second

// Settings of one Envoy. Its ID is none of them: it is told with --service-node.
type Settings struct {
	Kind Kind
	// ControlPlane is host:port, where a host that is no IP address is resolved again and again, or unix:PATH.
	ControlPlane string
	TrustDomain  string
	// Feed is how often statistics are reported; 0 is FeedInterval.
	Feed time.Duration
	// AgentSocket is the agent's SDS; AdminSocket is where the admin page will be.
	AgentSocket, AdminSocket string
}

// Extension is what the name of the bootstrap's file ends in: Envoy reads it by that.
const Extension = ".pb"

// Encode is the bootstrap as a protocol buffer. As JSON it takes longer to read, at every start of a pod with a sidecar; people read it on Envoy's
// admin page (/config_dump).
func Encode(s Settings) ([]byte, error) {
	message, err := Make(s)
	if err != nil {
		return nil, err
	}
	out, err := proto.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode the bootstrap: %w", err)
	}
	return out, nil
}

// Make is the bootstrap as a message.
func Make(s Settings) (*bootstrapv3.Bootstrap, error) {
	address, err := parseAddress(s.ControlPlane)
	if err != nil {
		return nil, fmt.Errorf("control plane %q: %w", s.ControlPlane, err)
	}
	out := &bootstrapv3.Bootstrap{
		Node: &corev3.Node{Cluster: cluster(s.Kind)},
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{
			AdsConfig: api(corev3.ApiConfigSource_DELTA_GRPC, envoy.ControlPlaneCluster),
			LdsConfig: fromADS(),
			CdsConfig: fromADS(),
		},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{
			controlPlane(envoy.ControlPlaneCluster, s.TrustDomain, address),
			agent(s.AgentSocket),
		}},
		Watchdogs:   seldom(),
		Admin:       &bootstrapv3.Admin{Address: pipe(s.AdminSocket)},
		StatsConfig: &metricsv3.StatsConfig{StatsMatcher: only(s.Kind), UseAllDefaultTags: wrapperspb.Bool(false)},
	}
	if s.Kind == Gateway {
		out.StaticResources.Clusters = append(out.StaticResources.Clusters, controlPlane(envoy.HoldCluster, s.TrustDomain, address))
		return out, nil
	}
	out.HdsConfig = api(corev3.ApiConfigSource_GRPC, envoy.ControlPlaneCluster)
	out.StatsSinks = []*metricsv3.StatsSink{feed()}
	out.StatsFlushInterval = durationpb.New(cmp.Or(s.Feed, FeedInterval))
	return out, nil
}

// seldom has Envoy look every few seconds whether its threads are stuck. It only counts those that are, in statistics that nobody reads, and by default
// wakes each thread for it 12 times a second: four fifths of what an Envoy uses that is asked for nothing, and there is one in each pod with a sidecar.
func seldom() *bootstrapv3.Watchdogs {
	watchdog := &bootstrapv3.Watchdog{MissTimeout: durationpb.New(watchdogMiss), MegamissTimeout: durationpb.New(2 * watchdogMiss)}
	return &bootstrapv3.Watchdogs{MainThreadWatchdog: watchdog, WorkerWatchdog: watchdog}
}

// parseAddress reads "host:port" or "unix:PATH".
func parseAddress(text string) (*corev3.Address, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		return pipe(path), nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port: %w", err)
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(number)},
	}}}, nil
}

func cluster(kind Kind) string {
	if kind == Gateway {
		return "gateway"
	}
	return "replica"
}

func fromADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
	}
}

func api(kind corev3.ApiConfigSource_ApiType, cluster string) *corev3.ApiConfigSource {
	return &corev3.ApiConfigSource{
		ApiType:             kind,
		TransportApiVersion: corev3.ApiVersion_V3,
		GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
				ClusterName: cluster,
				// A control plane that restarts is found again soon; the default begins at half a second.
				RetryPolicy: &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{
					BaseInterval: durationpb.New(50 * time.Millisecond), MaxInterval: durationpb.New(time.Second),
				}},
			},
		}}},
		SetNodeOnFirstMessageOnly: true,
	}
}

func pipe(path string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path, Mode: 0o600}}}
}

// controlPlane is a cluster of the control planes, over mTLS. Its breakers do not count: each held request is a stream.
func controlPlane(name, trustDomain string, address *corev3.Address) *clusterv3.Cluster {
	kind := clusterv3.Cluster_STATIC
	if socket := address.GetSocketAddress(); socket != nil && net.ParseIP(socket.GetAddress()) == nil {
		kind = clusterv3.Cluster_STRICT_DNS
	}
	return &clusterv3.Cluster{
		Name:                          name,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: kind},
		ConnectTimeout:                durationpb.New(time.Second),
		LoadAssignment:                assignment(name, address),
		TypedExtensionProtocolOptions: http2(),
		TransportSocket:               envoy.UpstreamTLS("h2", []string{model.EbbID(trustDomain, model.RoleControlPlane, "")}),
		CircuitBreakers: &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections:     wrapperspb.UInt32(math.MaxUint32),
			MaxPendingRequests: wrapperspb.UInt32(math.MaxUint32),
			MaxRequests:        wrapperspb.UInt32(math.MaxUint32),
			MaxRetries:         wrapperspb.UInt32(math.MaxUint32),
		}}},
	}
}

func agent(socket string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                          envoy.AgentCluster,
		ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:                durationpb.New(time.Second),
		LoadAssignment:                assignment(envoy.AgentCluster, pipe(socket)),
		TypedExtensionProtocolOptions: http2(),
	}
}

func assignment(name string, address *corev3.Address) *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
		LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
			Endpoint: &endpointv3.Endpoint{Address: address},
		}}},
	}}}
}

func http2() map[string]*anypb.Any {
	options := &httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
						MaxConcurrentStreams: wrapperspb.UInt32(1 << 20),
						ConnectionKeepalive: &corev3.KeepaliveSettings{
							Interval: durationpb.New(10 * time.Second), Timeout: durationpb.New(5 * time.Second),
						},
					},
				},
			},
		},
	}
	return map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": mustAny(options)}
}

// only creates the statistics that are used: Envoy has thousands, for each cluster a hundred.
func only(kind Kind) *metricsv3.StatsMatcher {
	pattern := `cluster\.revision\|.*\.(upstream_rq_active|upstream_rq_pending_active|upstream_rq_total|upstream_rq_time)|http\.replica\|.*\.downstream_rq_active`
	if kind == Gateway {
		pattern = `cluster\.(revision|service)\|.*\.(upstream_rq_(total|time|[1-5]xx|active|retry)|upstream_cx_(connect_fail|active))|http\.(external|internal)\.(downstream_(rq|cx)_.*)|http\.(external|internal)\.rds\..*|(cluster_manager|listener_manager|server)\.[a-z_]*|ext_authz\.hold\..*|cluster\.(hold|control-plane)\.upstream_rq_(active|total|retry)`
	}
	return &metricsv3.StatsMatcher{StatsMatcher: &metricsv3.StatsMatcher_InclusionList{InclusionList: &matcherv3.ListStringMatcher{
		Patterns: []*matcherv3.StringMatcher{{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: pattern}}}},
	}}}
}

func feed() *metricsv3.StatsSink {
	return &metricsv3.StatsSink{
		Name: "envoy.stat_sinks.metrics_service",
		ConfigType: &metricsv3.StatsSink_TypedConfig{TypedConfig: mustAny(&metricsv3.MetricsServiceConfig{
			GrpcService: &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: envoy.ControlPlaneCluster},
			}},
			TransportApiVersion:    corev3.ApiVersion_V3,
			ReportCountersAsDeltas: wrapperspb.Bool(true),
			HistogramEmitMode:      metricsv3.HistogramEmitMode_HISTOGRAM,
		})},
	}
}

func mustAny(message proto.Message) *anypb.Any {
	packed, err := anypb.New(message)
	if err != nil {
		panic(err) // constants only
	}
	return packed
}
