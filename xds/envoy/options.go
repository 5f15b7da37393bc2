package envoy

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"ebb.dev/ebb/xds/model"
)

// Names that the bootstrap, the SDS agent and the listeners agree on.
const (
	// HoldCluster reaches the hold servers, HoldFilter is the ext_authz filter that asks them.
	HoldCluster = "hold"
	HoldFilter  = "ebb.hold"
	// ControlPlaneCluster carries ADS, HDS and metrics.
	ControlPlaneCluster = "control-plane"
	// AgentCluster is the unix socket of the agent beside this Envoy, which serves SDS.
	AgentCluster = "agent"
	// ClusterHeader carries the hold's choice of cluster to the catch-all route.
	ClusterHeader = "x-ebb-cluster"
	// UnsentHeader marks a replica proxy's answer to a request that the app has never seen; gateways try another replica.
	UnsentHeader = "x-ebb-unsent"
	// GatewayHeader tells the hold server, as gRPC metadata, which gateway asks.
	GatewayHeader = "x-ebb-gateway"
	// ConfigExtension and RevisionExtension tell the hold server what is asked for.
	ConfigExtension   = "config"
	RevisionExtension = "revision"
	// CountedMetadata marks, in the hold filter's dynamic metadata, a request whose end is to be reported.
	CountedMetadata = "counted"
	// CountedLog is the name of the access log that reports them.
	CountedLog = "counted"
)

// Options are the settings that all proxies share.
type Options struct {
	// TrustDomain of the SPIFFE IDs.
	TrustDomain string
	// Plaintext turns mTLS between gateway and replica off. For comparisons only.
	Plaintext bool
}

func mustAny(message proto.Message) *anypb.Any {
	packed, err := anypb.New(message)
	if err != nil {
		// Only a message that is not valid UTF-8 fails to encode; the model's strings come from the API, which refuses those.
		panic(err)
	}
	return packed
}

func duration(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

func uint32Value(n uint32) *wrapperspb.UInt32Value { return wrapperspb.UInt32(n) }

func boolValue(b bool) *wrapperspb.BoolValue { return wrapperspb.Bool(b) }

// fromADS takes a resource from the stream that the proxy has open. The fetch timeout bounds how long one late resource
// can hold others back.
func fromADS(fetch time.Duration) *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		InitialFetchTimeout:   duration(fetch),
	}
}

func socketAddress(address model.Address) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       address.Host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: address.Port},
	}}}
}

func pipeAddress(path string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path, Mode: 0o600}}}
}

func envoyGRPC(cluster string) *corev3.GrpcService_EnvoyGrpc_ {
	return &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: cluster}}
}
