package broker

import "log/slog"

// Options are those of `ebb broker`.
type Options struct {
	// Kubeconfig is the cluster; empty is the one this pod runs in.
	Kubeconfig string
	// Dir is the folder of the embedded log; URL is an external NATS instead.
	Dir, URL string
	// Relaxed answers 202 before the disk has the event.
	Relaxed bool
	// Listen is where the ingress listens, HOST:PORT.
	Listen string
	// Advertise is the address by which gateways reach it, written into the API; empty where a Service leads to it already.
	Advertise string
	// Gateway is where the gateways take requests from inside, HOST:PORT; deliveries to Services go there.
	Gateway string
	// GatewayHost is its DNS name in the cluster.
	GatewayHost string
	// ClusterDomain is the DNS domain of Services, Domain that of URLs for clients outside.
	ClusterDomain, Domain string
	// ControlPlane is the HOST:PORT or unix:PATH of the control plane, whose autoscaler is told what waits; empty tells nobody.
	ControlPlane string
	// TrustDomain is that of the mesh, TrustFile holds the roots to begin with; TokenFile holds the token that proves who this is, and empty
	// asks the API server for one.
	TrustDomain, TrustFile, TokenFile string
	// DebugListen serves metrics, health and debug pages: HOST:PORT or unix:PATH.
	DebugListen string
	Log         *slog.Logger
}
