package networking

import "slices"

// Protocol is an application protocol that a revision speaks.
type Protocol string

const (
	// ProtocolHTTP1 is HTTP/1.1.
	ProtocolHTTP1 Protocol = "http1"
	// ProtocolH2C is HTTP/2 without TLS, with prior knowledge.
	ProtocolH2C Protocol = "h2c"
)

// Ports of the Services in front of revisions.
const (
	ServiceHTTPPort  = 80
	ServiceHTTP2Port = 81
	ServiceHTTPSPort = 443

	ServicePortNameHTTP1 = "http"
	ServicePortNameH2C   = "http2"
	ServicePortNameHTTPS = "https"

	// AppProtocolH2C is the appProtocol of HTTP/2 ports.
	AppProtocolH2C = "kubernetes.io/h2c"
)

// Ports that a replica's sidecar listens on, in the pod's network. A sidecar of Ebb uses only these, so that every app
// that runs beside Knative's sidecar runs beside Ebb's.
const (
	ReplicaHTTPPort      = 8012
	ReplicaHTTP2Port     = 8013
	ReplicaAdminPort     = 8022
	ReplicaHTTPSPort     = 8112
	ReplicaMetricsPort   = 9090
	ReplicaUserStatsPort = 9091
	ReplicaProfilingPort = 8008
)

// DefaultUserPort is the container port of a revision that names none, in the app's PORT variable.
const DefaultUserPort = 8080

// reservedPorts are the container ports that an app must leave free. 8112 is not refused by Knative,
// whose sidecar listens there only with system-internal-tls; Ebb's listens there as soon as mutual TLS is on.
var reservedPorts = []int32{
	ReplicaProfilingPort, ReplicaHTTPPort, ReplicaHTTP2Port, ReplicaAdminPort, ReplicaHTTPSPort, ReplicaMetricsPort, ReplicaUserStatsPort,
}

// IsReservedPort reports whether port belongs to the sidecar.
func IsReservedPort(port int32) bool { return slices.Contains(reservedPorts, port) }

// ServicePort returns the port number and name of a Service in front of a revision that speaks protocol.
func ServicePort(protocol Protocol) (port int32, name string) {
	if protocol == ProtocolH2C {
		return ServiceHTTP2Port, ServicePortNameH2C
	}
	return ServiceHTTPPort, ServicePortNameHTTP1
}
