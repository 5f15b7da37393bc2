package platform

import (
	"log/slog"
	"strconv"

	"ebb.dev/ebb/deploy/local/kube"
	"ebb.dev/ebb/deploy/local/process"
	"ebb.dev/ebb/deploy/local/progress"
)

// The kinds of nodes.
const (
	NodeAuto    = "auto"
	NodeKubelet = "kubelet"
	NodeLight   = "light"
)

// Options are what a person may say.
type Options struct {
	// State is the state folder.
	State string
	// HTTPPort is where the gateway listens on loopback; 0: 80 as root, else 8080.
	HTTPPort int
	// APIPort is the API server's; 0: 6443 or, if that is taken at the first start, any.
	APIPort int
	// Node is one of the kinds of nodes.
	Node string
	// Bin is the folder with ebb-kube, containerd and the others; empty: beside this program.
	Bin string
	// Components are Ebb's own processes, started in order after Kubernetes. Nil: none.
	Components func(Environment) []Component
	// Progress is told what happens; nil: nobody.
	Progress progress.Sink
	// Log takes what is of no interest to the person who waits; nil: the default logger.
	Log *slog.Logger
}

// Component is a process of Ebb's own, and how it is called in the display.
type Component struct {
	process.Spec
	// Title is its line in the display ("envoy gateway"); empty: its name.
	Title string
	// WaitsFor says what its readiness depends on, for the live line.
	WaitsFor string
}

// Environment is what Ebb's own processes need to know of the platform they run in.
type Environment struct {
	// State is the state folder, Run a folder for sockets (short, private, emptied at every start), Logs that of the log files.
	State, Run, Logs string
	// Ebb is this program, Envoy the pinned Envoy (empty if there is none), Bin the folder both may have come from.
	Ebb, Envoy, Bin string
	// Server is the API server's URL.
	Server string
	// AdminKubeconfig is the user's, NodeKubeconfig that of the node itself (system:node:NAME); each of Ebb's processes has its own, with
	// the rights it needs.
	AdminKubeconfig, ControlPlaneKubeconfig, BrokerKubeconfig, NodeAgentKubeconfig, NodeKubeconfig string
	// CAFile, NodeCertFile and NodeKeyFile let a light node serve the kubelet's API: the certificate is the node's, the API server
	// presents one that CAFile verifies.
	CAFile, NodeCertFile, NodeKeyFile string
	// HTTPPort is the port on 127.0.0.1 that people use.
	HTTPPort int
	// HTTPSocket is a unix socket the gateway listens on too if it is set: an edge Envoy outside sends what arrives at HTTPPort there, and
	// HTTPPort itself is not reachable.
	HTTPSocket string
	// NodeKind is "kubelet" or "light", NodeName the Node object's name.
	NodeKind, NodeName string
	// BridgeAddress is the node's address on the pod network and PodCIDR that network; both are empty if there is no bridge (a light node
	// that may not change the network).
	BridgeAddress, PodCIDR string
	// DNSAddress answers the cluster's names on port 53; empty without a bridge.
	DNSAddress string
	// ClusterDomain is the DNS domain of Services.
	ClusterDomain string
	// RegistryAddress is HOST:PORT on loopback where the image registry is to listen: containerd asks it first, naming the registry
	// meant in the query parameter ns.
	RegistryAddress string
	// RuntimeSocket is containerd's CRI socket; empty with a light node.
	RuntimeSocket string
	// EgressSocket, if set, dials for processes that have no network of their own: see deploy/local/rootless.
	EgressSocket string
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// kubeVersion is how Kubernetes is called in the display.
const kubeVersion = "kubernetes " + kube.Version
