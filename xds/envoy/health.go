package envoy

import (
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/service/health/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"ebb.dev/ebb/xds/model"
)

// Check intervals of a replica that is not ready yet. A probe is cheap, but a burst of replicas is checked by one Envoy:
// the interval grows with their number so that the checks stay below a few percent of a core.
const (
	fastCheck    = 5 * time.Millisecond
	checksBudget = 1000 // checks a second and proxy
	slowCheck    = time.Second
)

// CheckInterval is how often each of n starting replicas is asked by one proxy.
func CheckInterval(n int) time.Duration {
	interval := time.Duration(n) * time.Second / checksBudget
	return min(max(interval, fastCheck), slowCheck)
}

// HealthSpecifier asks one proxy to find out when these replicas are ready, over HDS. It lists only replicas that are
// not ready yet; with none left, reports are rare.
func HealthSpecifier(starting []model.Replica) *healthv3.HealthCheckSpecifier {
	if len(starting) == 0 {
		return &healthv3.HealthCheckSpecifier{Interval: duration(5 * time.Second)}
	}
	interval := CheckInterval(len(starting))
	specifier := &healthv3.HealthCheckSpecifier{Interval: duration(interval)}
	for _, r := range starting {
		if r.Revision.Probe == nil {
			continue
		}
		specifier.ClusterHealthChecks = append(specifier.ClusterHealthChecks, clusterCheck(r, interval))
	}
	return specifier
}

func clusterCheck(r model.Replica, interval time.Duration) *healthv3.ClusterHealthCheck {
	probe := r.Revision.Probe
	every := interval
	if probe.Period > 0 {
		every = probe.Period
	}
	timeout := probe.Timeout
	if timeout <= 0 {
		timeout = time.Second
	}
	check := &corev3.HealthCheck{
		Timeout:               duration(timeout),
		Interval:              duration(every),
		NoTrafficInterval:     duration(every),
		UnhealthyInterval:     duration(every),
		UnhealthyEdgeInterval: duration(every),
		UnhealthyThreshold:    uint32Value(1),
		HealthyThreshold:      uint32Value(max(probe.SuccessThreshold, 1)),
		ReuseConnection:       boolValue(false),
	}
	switch probe.Kind {
	case model.ProbeHTTP:
		check.HealthChecker = httpCheck(r, probe)
	case model.ProbeGRPC:
		check.HealthChecker = &corev3.HealthCheck_GrpcHealthCheck_{GrpcHealthCheck: &corev3.HealthCheck_GrpcHealthCheck{ServiceName: probe.Service}}
	default:
		check.HealthChecker = &corev3.HealthCheck_TcpHealthCheck_{TcpHealthCheck: &corev3.HealthCheck_TcpHealthCheck{}}
	}
	return &healthv3.ClusterHealthCheck{
		ClusterName:  model.AppClusterName(r.Pod),
		HealthChecks: []*corev3.HealthCheck{check},
		LocalityEndpoints: []*healthv3.LocalityEndpoints{{
			Endpoints: []*endpointv3.Endpoint{{Address: socketAddress(model.Address{Host: r.App.Host, Port: probe.Port})}},
		}},
	}
}

// httpCheck follows the kubelet: any status from 200 to 399 is healthy, and the probe is recognised by its User-Agent.
func httpCheck(r model.Replica, probe *model.Probe) *corev3.HealthCheck_HttpHealthCheck_ {
	path := probe.Path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	host := probe.Host
	if host == "" {
		host = r.App.Host
	}
	check := &corev3.HealthCheck_HttpHealthCheck{
		Path:             path,
		Host:             host,
		ExpectedStatuses: []*typev3.Int64Range{{Start: 200, End: 400}},
		RequestHeadersToAdd: append(setHeaders(probe.Headers), &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: "user-agent", Value: "kube-probe/ebb"},
			AppendAction: corev3.HeaderValueOption_ADD_IF_ABSENT,
		}),
	}
	if r.Revision.Protocol == model.H2C {
		check.CodecClientType = typev3.CodecClientType_HTTP2
	}
	return &corev3.HealthCheck_HttpHealthCheck_{HttpHealthCheck: check}
}
