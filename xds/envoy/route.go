package envoy

import (
	"sort"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/xds/model"
)

// vhdsFetch bounds how long a new listener waits for its first virtual hosts; what is missing then is held.
const vhdsFetch = 100 * time.Millisecond

// RouteConfiguration is a gateway's: one catch-all virtual host that asks the hold server, and the virtual hosts of
// active services beside it through VHDS, pushed unasked.
func RouteConfiguration(config model.RouteConfig) *routev3.RouteConfiguration {
	out := &routev3.RouteConfiguration{
		Name:                            string(config),
		IgnorePortInHostMatching:        true,
		VirtualHosts:                    []*routev3.VirtualHost{catchAll(config)},
		Vhds:                            &routev3.Vhds{ConfigSource: fromADS(vhdsFetch)},
		MostSpecificHeaderMutationsWins: true,
		ResponseHeadersToRemove:         []string{UnsentHeader},
	}
	if config == model.External {
		// It lifts timeouts: those who ask from outside have theirs lifted by asking for an answer later.
		out.RequestHeadersToRemove = []string{strings.ToLower(async.AttemptHeader)}
	}
	return out
}

// catchAll routes to whatever cluster the hold's answer names.
func catchAll(config model.RouteConfig) *routev3.VirtualHost {
	return &routev3.VirtualHost{
		Name:    "catch-all",
		Domains: []string{"*"},
		Routes: []*routev3.Route{{
			Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_ClusterHeader{ClusterHeader: ClusterHeader},
				Timeout:          duration(0),
				RetryPolicy:      neverSeenByApp(),
			}},
		}},
		RequestHeadersToRemove: []string{ClusterHeader},
		TypedPerFilterConfig:   askHold(map[string]string{ConfigExtension: string(config)}),
	}
}

// VirtualHost is one active host group. Its hold is off, except on the shares that are cold.
func VirtualHost(v model.VHost) *routev3.VirtualHost {
	vhost := &routev3.VirtualHost{
		Name:                 v.Name,
		Domains:              v.Domains,
		TypedPerFilterConfig: holdOff(),
	}
	for _, r := range v.Routes {
		vhost.Routes = append(vhost.Routes, route(v.Config, r))
	}
	return vhost
}

func route(config model.RouteConfig, r model.Route) *routev3.Route {
	action := &routev3.RouteAction{
		// The replica's proxy bounds requests; here a bound would cut streams.
		Timeout:     duration(0),
		RetryPolicy: neverSeenByApp(),
	}
	if r.RewriteHost != "" {
		action.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: r.RewriteHost}
	}
	out := &routev3.Route{
		Match:               routeMatch(r),
		Action:              &routev3.Route_Route{Route: action},
		RequestHeadersToAdd: setHeaders(r.AppendHeaders),
	}
	shares := make([]model.Split, 0, len(r.Splits))
	for _, split := range r.Splits {
		if split.Weight > 0 {
			shares = append(shares, split)
		}
	}
	if len(shares) == 1 {
		action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: shares[0].Cluster}
		out.RequestHeadersToAdd = append(out.RequestHeadersToAdd, setHeaders(shares[0].AppendHeaders)...)
		if shares[0].Hold {
			out.TypedPerFilterConfig = askHoldFor(config, shares[0].Revision)
		}
		return out
	}
	weighted := &routev3.WeightedCluster{}
	for _, split := range shares {
		share := &routev3.WeightedCluster_ClusterWeight{
			Name:                split.Cluster,
			Weight:              uint32Value(split.Weight),
			RequestHeadersToAdd: setHeaders(split.AppendHeaders),
		}
		if split.Hold {
			share.TypedPerFilterConfig = askHoldFor(config, split.Revision)
		}
		weighted.Clusters = append(weighted.Clusters, share)
	}
	action.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted}
	return out
}

func routeMatch(r model.Route) *routev3.RouteMatch {
	match := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: r.PathPrefix}}
	headers := append([]model.Header(nil), r.Headers...)
	sort.Slice(headers, func(i, j int) bool { return headers[i].Name < headers[j].Name })
	for _, header := range headers {
		match.Headers = append(match.Headers, &routev3.HeaderMatcher{
			Name: header.Name,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Exact{Exact: header.Value},
			}},
		})
	}
	if r.Prefer.Name != "" {
		match.Headers = append(match.Headers, preferMatch(r.Prefer))
	}
	return match
}

// preferMatch fits requests whose Prefer headers, joined by commas, have the preference, or have not.
func preferMatch(p model.Preference) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{
		Name: strings.ToLower(async.PreferHeader),
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: p.Name.Pattern()}},
		}},
		InvertMatch:               p.Absent,
		TreatMissingHeaderAsEmpty: p.Absent,
	}
}

func setHeaders(headers []model.Header) []*corev3.HeaderValueOption {
	var out []*corev3.HeaderValueOption
	for _, header := range headers {
		out = append(out, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: header.Name, Value: header.Value},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return out
}

// neverSeenByApp retries, on another replica if there is one, only while no replica can have seen the request. The tries
// span about a second: a replica's proxy that was killed is back by then.
func neverSeenByApp() *routev3.RetryPolicy {
	return &routev3.RetryPolicy{
		RetryOn:          "connect-failure,refused-stream,reset-before-request,retriable-headers",
		RetriableHeaders: []*routev3.HeaderMatcher{{Name: UnsentHeader, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}}},
		NumRetries:       uint32Value(12),
		RetryHostPredicate: []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: mustAny(&previoushostsv3.PreviousHostsPredicate{})},
		}},
		HostSelectionRetryMaxAttempts: 5,
		RetryBackOff: &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: duration(5 * time.Millisecond),
			MaxInterval:  duration(250 * time.Millisecond),
		},
	}
}

// holdOff leaves the filter out of a request's chain. The filter's own way to be off has one made for each request all the same, with a client
// of the hold's: a fifth of the gateway's processor time for a warm request.
func holdOff() map[string]*anypb.Any {
	return map[string]*anypb.Any{HoldFilter: mustAny(&routev3.FilterConfig{Disabled: true})}
}

func askHold(extensions map[string]string) map[string]*anypb.Any {
	return map[string]*anypb.Any{HoldFilter: mustAny(&extauthzv3.ExtAuthzPerRoute{
		Override: &extauthzv3.ExtAuthzPerRoute_CheckSettings{CheckSettings: &extauthzv3.CheckSettings{ContextExtensions: extensions}},
	})}
}

// askHoldFor holds a share whose revision Envoy has picked already; the pick stays with the request. A plain service has none: its requests
// wait until the gateway has its cluster.
func askHoldFor(config model.RouteConfig, revision model.Key) map[string]*anypb.Any {
	if revision.IsZero() {
		return askHold(map[string]string{ConfigExtension: string(config)})
	}
	return askHold(map[string]string{RevisionExtension: revision.String()})
}
