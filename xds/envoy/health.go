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

// Check intervals of a replica that is not ready yet. A probe is cheap, but a burst of replicas is checked by one Envoy: the interval grows with
// their number so that the checks stay below a few percent of a core. And it grows with the time that a replica has taken: what takes
// seconds may be noticed some milliseconds later.
const (
	fastCheck    = 2 * time.Millisecond
	checksBudget = 1000 // checks a second and proxy
	checksShare  = 200  // of the time that a start has taken, the part that an interval may be
	checksReport = 8    // reports in an interval: what one of many has been found out does not wait for the others
)

const (
	// SlowCheck is the longest check interval.
	SlowCheck = time.Second
	// IdleCheck is the shortest one where a replica's containers are not known to run yet.
	IdleCheck = 50 * time.Millisecond
)

// CheckInterval is how often a replica is asked that began to start some time ago, being one of n of its proxy that start. It is one of a few
// steps, each twice the one before: a proxy begins anew with every check whose interval changes. until is how long ago the replica must have
// begun for the next step.
func CheckInterval(n int, ago time.Duration) (interval, until time.Duration) {
	wanted := max(time.Duration(n)*time.Second/checksBudget, ago/checksShare)
	interval = fastCheck
	for 2*interval <= wanted && interval < SlowCheck {
		interval *= 2
	}
	return min(interval, SlowCheck), 2 * interval * checksShare
}

// Starting is a replica whose proxy is to find out what is still unknown of it.
type Starting struct {
	model.Replica
	// Answers and Listening are known already.
	Answers, Listening bool
	// Runs says that its containers run, as far as is known.
	Runs bool
	// Every is how often to ask.
	Every time.Duration
}

// HealthSpecifier asks one proxy to find out, over HDS, when these replicas' apps answer and when its own listeners for
// them accept connections. It lists only what is not known yet; with nothing left, reports are rare.
func HealthSpecifier(starting []Starting) *healthv3.HealthCheckSpecifier {
	specifier := &healthv3.HealthCheckSpecifier{}
	report := 5 * time.Second
	for _, r := range starting {
		if r.Runs {
			report = min(report, max(r.Every/checksReport, soonReport(r.Every)))
		}
		report = min(report, r.Every)
		if !r.Answers && r.Revision.Probe != nil {
			specifier.ClusterHealthChecks = append(specifier.ClusterHealthChecks, appCheck(r.Replica, r.Every))
		}
		if !r.Listening {
			specifier.ClusterHealthChecks = append(specifier.ClusterHealthChecks, listenerCheck(r.Replica, r.Every))
		}
	}
	specifier.Interval = duration(report)
	return specifier
}

// soonReport is how long the result of a check may wait for its report. An Envoy's timers of the same length fire together, and the report goes
// first: half the interval later it has the result.
func soonReport(every time.Duration) time.Duration { return min(every/2, fastCheck) }

// check asks an address every so often.
func check(name string, address model.Address, c *corev3.HealthCheck, every, timeout time.Duration) *healthv3.ClusterHealthCheck {
	c.Timeout = duration(timeout)
	c.Interval, c.NoTrafficInterval = duration(every), duration(every)
	c.UnhealthyInterval, c.UnhealthyEdgeInterval = duration(every), duration(every)
	c.UnhealthyThreshold = uint32Value(1)
	c.ReuseConnection = boolValue(false)
	return &healthv3.ClusterHealthCheck{
		ClusterName:       name,
		HealthChecks:      []*corev3.HealthCheck{c},
		LocalityEndpoints: []*healthv3.LocalityEndpoints{{Endpoints: []*endpointv3.Endpoint{{Address: socketAddress(address)}}}},
	}
}

func tcpCheck() *corev3.HealthCheck_TcpHealthCheck_ {
	return &corev3.HealthCheck_TcpHealthCheck_{TcpHealthCheck: &corev3.HealthCheck_TcpHealthCheck{}}
}

func listenerCheck(r model.Replica, interval time.Duration) *healthv3.ClusterHealthCheck {
	return check(model.ReplicaName(r.Pod), r.Listen, &corev3.HealthCheck{
		HealthyThreshold: uint32Value(1), HealthChecker: tcpCheck(),
	}, interval, time.Second)
}

func appCheck(r model.Replica, interval time.Duration) *healthv3.ClusterHealthCheck {
	probe := r.Revision.Probe
	every := interval
	if probe.Period > 0 {
		every = probe.Period
	}
	timeout := probe.Timeout
	if timeout <= 0 {
		timeout = time.Second
	}
	c := &corev3.HealthCheck{HealthyThreshold: uint32Value(max(probe.SuccessThreshold, 1))}
	switch probe.Kind {
	case model.ProbeHTTP:
		c.HealthChecker = httpCheck(r, probe)
	case model.ProbeGRPC:
		c.HealthChecker = &corev3.HealthCheck_GrpcHealthCheck_{GrpcHealthCheck: &corev3.HealthCheck_GrpcHealthCheck{ServiceName: probe.Service}}
	default:
		c.HealthChecker = tcpCheck()
	}
	return check(model.AppClusterName(r.Pod), model.Address{Host: r.App.Host, Port: probe.Port}, c, every, timeout)
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
