package controlplane

import (
	"log/slog"

	"ebb.dev/ebb/xds/model"
)

// Options of a control plane.
type Options struct {
	// Kubeconfig is a file; empty uses the pod's own account.
	Kubeconfig string
	// Listen is where proxies and agents connect: host:port or unix:PATH, one or more.
	Listen []string
	// DNS are the names by which they dial it.
	DNS []string
	// TrustDomain of the identities.
	TrustDomain string
	// CAFile keeps the CA in a file; empty keeps it in the Secret ebb-system/ebb-ca.
	CAFile string
	// TrustFile is where the roots are written for agents of this machine; empty writes the ConfigMap ebb-system/ebb-trust.
	TrustFile string
	// External and Internal are the addresses that gateways listen on for clients outside and for pods.
	External, Internal []model.Address
	// ExternalPipe is a unix socket that gateways listen on too.
	ExternalPipe string
	// ExternalPort is the port of URLs that are shown; 0 or 80 shows none.
	ExternalPort int
	// InternalHost is the DNS name of the internal gateway; InternalAddress makes its Service and EndpointSlice here.
	InternalHost    string
	InternalAddress string
	// ClusterDomain is the DNS domain of Services.
	ClusterDomain string
	// Domain is the default domain of routes, written into config-domain when that is made.
	Domain string
	// ReplicaProxy is where replicas' Envoys run unless something says otherwise: node or sidecar.
	ReplicaProxy string
	// SidecarImage holds ebb-sidecar and envoy, for replicas' own proxies; empty is the image of this control plane's own pod or, outside of a
	// cluster, one that is made of this program and Envoy when it is needed.
	SidecarImage string
	// Envoy is the binary for that image.
	Envoy string
	// RuntimeSocket is the CRI socket of the machine's own kubelet node, which unpacks that image as soon as it is made; empty leaves it to the
	// kubelet.
	RuntimeSocket string
	// SidecarControlPlane is where sidecars dial, host:port; empty is the Service ebb-control-plane in ebb-system.
	SidecarControlPlane string
	// DrainAddress is where pods' preStop hooks ask on their node, host:port; empty sets no hook.
	DrainAddress string
	// WebhookListen is host:port; WebhookService names the Service in ebb-system before it, empty for a URL on loopback.
	WebhookListen, WebhookService string
	// DebugListen serves metrics, health and debug pages: host:port or unix:PATH.
	DebugListen string
	// Install puts kinds, ConfigMaps and namespaces into the cluster.
	Install bool
	// LeaderElect lets one of several control planes write.
	LeaderElect bool
	// Images is the local image store; empty asks registries only.
	Images string
	// EgressSocket dials for a process without a network of its own.
	EgressSocket string
	Log          *slog.Logger
}
