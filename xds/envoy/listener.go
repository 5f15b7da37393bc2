package envoy

import (
	"strings"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	grpclogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/xds/model"
)

const (
	// headersTimeout ends connections that send headers drop by drop.
	headersTimeout = 60 * time.Second
	// drainTimeout is between GOAWAY (or Connection: close) and the end of a drained connection.
	drainTimeout = 2 * time.Second
	// holdTimeout is beyond any hold; the hold server itself ends holds, with a reason.
	holdTimeout = 2 * time.Hour
	// holdRetries and holdTry move a held request to another control plane when its own goes: retries follow each other
	// within holdBackoff, and the longest back-off bounds one try.
	holdRetries = 10000
	holdBackoff = 50 * time.Millisecond
	holdTry     = 15 * time.Second
	// extAuthzNamespace is where Envoy puts the dynamic metadata of an ext_authz answer.
	extAuthzNamespace = "envoy.filters.http.ext_authz"
)

// GatewayListener is where a gateway accepts requests for one route configuration.
type GatewayListener struct {
	Config model.RouteConfig
	// Addresses to accept on; Pipe, when set, is a unix socket to accept on beside or instead of them.
	Addresses []model.Address
	Pipe      string
}

// Listener is a gateway's listener. Its name is its route configuration's.
func (g GatewayListener) Listener() *listenerv3.Listener {
	manager := connectionManager(string(g.Config))
	manager.UseRemoteAddress = boolValue(true)
	manager.GenerateRequestId = boolValue(true)
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
		RouteConfigName: string(g.Config),
		ConfigSource:    fromADS(endpointsFetch),
	}}
	manager.HttpFilters = []*hcmv3.HttpFilter{hold(), router()}
	manager.AccessLog = []*accesslogv3.AccessLog{counted()}
	out := &listenerv3.Listener{
		Name:         string(g.Config),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{httpFilter(manager)}}},
	}
	var addresses []*corev3.Address
	for _, address := range g.Addresses {
		addresses = append(addresses, socketAddress(address))
	}
	if g.Pipe != "" {
		addresses = append(addresses, pipeAddress(g.Pipe))
	}
	out.Address = addresses[0]
	for _, more := range addresses[1:] {
		out.AdditionalAddresses = append(out.AdditionalAddresses, &listenerv3.AdditionalAddress{Address: more})
	}
	return out
}

// counted reports the end of each request that the hold let go and counts, at once.
func counted() *accesslogv3.AccessLog {
	return &accesslogv3.AccessLog{
		Name: "envoy.access_loggers.http_grpc",
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_MetadataFilter{
			MetadataFilter: &accesslogv3.MetadataFilter{
				Matcher: &matcherv3.MetadataMatcher{
					Filter: extAuthzNamespace,
					Path:   []*matcherv3.MetadataMatcher_PathSegment{{Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: CountedMetadata}}},
					Value:  &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_PresentMatch{PresentMatch: true}},
				},
				MatchIfKeyNotFound: boolValue(false),
			},
		}},
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: mustAny(&grpclogv3.HttpGrpcAccessLogConfig{
			CommonConfig: &grpclogv3.CommonGrpcAccessLogConfig{
				LogName:             CountedLog,
				TransportApiVersion: corev3.ApiVersion_V3,
				GrpcService:         &corev3.GrpcService{TargetSpecifier: envoyGRPC(ControlPlaneCluster)},
				BufferSizeBytes:     uint32Value(0),
			},
		})},
	}
}

// CountedRevision reads the revision of a counted request from its access log's metadata.
func CountedRevision(metadata *corev3.Metadata) (model.Key, bool) {
	value, ok := metadata.GetFilterMetadata()[extAuthzNamespace].GetFields()[CountedMetadata]
	if !ok {
		return model.Key{}, false
	}
	key, err := model.ParseKey(value.GetStringValue())
	return key, err == nil
}

// connectionManager has what all our listeners share. Streams are not cut by any timeout here.
func connectionManager(statPrefix string) *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{
		StatPrefix:                    statPrefix,
		CodecType:                     hcmv3.HttpConnectionManager_AUTO,
		StreamIdleTimeout:             duration(0),
		RequestTimeout:                duration(0),
		RequestHeadersTimeout:         duration(headersTimeout),
		DrainTimeout:                  duration(drainTimeout),
		ServerHeaderTransformation:    hcmv3.HttpConnectionManager_APPEND_IF_ABSENT,
		Http2ProtocolOptions:          &corev3.Http2ProtocolOptions{AllowConnect: true},
		UpgradeConfigs:                []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		EarlyHeaderMutationExtensions: []*corev3.TypedExtensionConfig{stripOurs()},
	}
}

// stripOurs removes x-ebb-* before anything looks at the request: they are ours to set.
func stripOurs() *corev3.TypedExtensionConfig {
	ours := &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "x-ebb-"}, IgnoreCase: true}
	return &corev3.TypedExtensionConfig{
		Name: "envoy.http.early_header_mutation.header_mutation",
		TypedConfig: mustAny(&earlyv3.HeaderMutation{Mutations: []*mutationv3.HeaderMutation{{
			Action: &mutationv3.HeaderMutation_RemoveOnMatch_{RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{KeyMatcher: ours}},
		}}}),
	}
}

func httpFilter(manager *hcmv3.HttpConnectionManager) *listenerv3.Filter {
	return &listenerv3.Filter{
		Name:       "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: mustAny(manager)},
	}
}

func router() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name:       "envoy.filters.http.router",
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: mustAny(&routerv3.Router{SuppressEnvoyHeaders: true})},
	}
}

// hold is the ext_authz filter that asks who may go on. A check that a control plane takes down with it is asked again,
// elsewhere if there is another.
func hold() *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name: HoldFilter,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: mustAny(&extauthzv3.ExtAuthz{
			StatPrefix:          "hold",
			TransportApiVersion: corev3.ApiVersion_V3,
			ClearRouteCache:     true,
			StatusOnError:       &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
			Services: &extauthzv3.ExtAuthz_GrpcService{GrpcService: &corev3.GrpcService{
				TargetSpecifier: envoyGRPC(HoldCluster),
				Timeout:         duration(holdTimeout),
				InitialMetadata: []*corev3.HeaderValue{{Key: GatewayHeader, Value: "%ENVIRONMENT(" + model.ProxyEnvironment + ")%"}},
				RetryPolicy:     moveOn(),
			}},
		})},
	}
}

func moveOn() *corev3.RetryPolicy {
	return &corev3.RetryPolicy{
		RetryOn:    "unavailable,cancelled,internal,reset,connect-failure,refused-stream",
		NumRetries: uint32Value(holdRetries),
		RetryBackOff: &corev3.BackoffStrategy{
			BaseInterval: duration(holdBackoff),
			MaxInterval:  duration(holdTry),
		},
		RetryHostPredicate: []*corev3.RetryPolicy_RetryHostPredicate{{
			Name: "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &corev3.RetryPolicy_RetryHostPredicate_TypedConfig{
				TypedConfig: mustAny(&previoushostsv3.PreviousHostsPredicate{}),
			},
		}},
		HostSelectionRetryMaxAttempts: 3,
	}
}

// ReplicaListener is where a replica's proxy accepts requests for one replica: mTLS in, the app behind.
func ReplicaListener(options Options, r model.Replica) *listenerv3.Listener {
	name := model.ReplicaName(r.Pod)
	manager := connectionManager(name)
	// The gateway in front has written X-Forwarded-For and the request ID.
	manager.SkipXffAppend = true
	manager.PreserveExternalRequestId = true
	manager.GenerateRequestId = boolValue(false)
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: replicaRoutes(r)}
	manager.HttpFilters = []*hcmv3.HttpFilter{router()}
	manager.LocalReplyConfig = ownAnswers()
	chain := &listenerv3.FilterChain{Filters: []*listenerv3.Filter{httpFilter(manager)}}
	if !options.Plaintext {
		chain.TransportSocket = replicaTLS(options, certificateOf(r))
	}
	return &listenerv3.Listener{
		Name:         name,
		Address:      socketAddress(r.Listen),
		FilterChains: []*listenerv3.FilterChain{chain},
	}
}

// replicaRoutes carry the revision's timeouts. gRPC has none of them: a server stream is not a slow answer. Nor has a request that nobody
// waits for: who sends it bounds it.
func replicaRoutes(r model.Replica) *routev3.RouteConfiguration {
	app := &routev3.RouteAction_Cluster{Cluster: model.AppClusterName(r.Pod)}
	bounds := r.Revision.Timeouts
	bounded := &routev3.RouteAction{ClusterSpecifier: app, Timeout: duration(bounds.Request), IdleTimeout: duration(bounds.Idle)}
	if bounds.ResponseStart > 0 && (bounds.Request == 0 || bounds.ResponseStart < bounds.Request) {
		// Envoy drops the per-try timeout once the response has begun, and there is one try.
		bounded.RetryPolicy = &routev3.RetryPolicy{NumRetries: uint32Value(0), PerTryTimeout: duration(bounds.ResponseStart)}
	}
	var routes []*routev3.Route
	add := func(match *routev3.RouteMatch, action *routev3.RouteAction) {
		match.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
		routes = append(routes, &routev3.Route{Match: match, Action: &routev3.Route_Route{Route: action}})
	}
	add(&routev3.RouteMatch{Grpc: &routev3.RouteMatch_GrpcRouteMatchOptions{}},
		&routev3.RouteAction{ClusterSpecifier: app, Timeout: duration(0), IdleTimeout: duration(0)})
	if bounds != (model.Timeouts{}) {
		add(&routev3.RouteMatch{Headers: []*routev3.HeaderMatcher{{
			Name:                 strings.ToLower(async.AttemptHeader),
			HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
		}}}, &routev3.RouteAction{ClusterSpecifier: app, Timeout: duration(async.MaxTimeout), IdleTimeout: duration(0)})
	}
	add(&routev3.RouteMatch{}, bounded)
	return &routev3.RouteConfiguration{
		Name:                    model.ReplicaName(r.Pod),
		ResponseHeadersToRemove: []string{UnsentHeader}, // the app's are not ours; the proxy's own are added later
		VirtualHosts:            []*routev3.VirtualHost{{Name: "app", Domains: []string{"*"}, Routes: routes}},
	}
}

// ownAnswers marks what a replica's proxy answers by itself: a full queue says when to come again, and an app that does not
// accept connections has not seen the request.
func ownAnswers() *hcmv3.LocalReplyConfig {
	return &hcmv3.LocalReplyConfig{Mappers: []*hcmv3.ResponseMapper{
		markAnswer("UO", "retry-after", "1"),
		markAnswer("UF", UnsentHeader, "1"),
	}}
}

// markAnswer adds a header to the proxy's own 503 that has the response flag.
func markAnswer(flag, header, value string) *hcmv3.ResponseMapper {
	return &hcmv3.ResponseMapper{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{flag}},
		}},
		StatusCode: wrapperspb.UInt32(503),
		HeadersToAdd: []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: header, Value: value},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
	}
}
