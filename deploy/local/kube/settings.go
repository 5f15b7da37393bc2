package kube

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"ebb.dev/ebb/deploy/local/pki"
	"ebb.dev/ebb/deploy/local/state"
)

// Version is the Kubernetes that ebb-kube embeds.
const Version = "1.36"

// Domain is the cluster's DNS domain.
const Domain = "cluster.local"

// maxPods leaves addresses of the /24 for pods that are on their way out.
const maxPods = 230

// Settings are the choices behind a Config.
type Settings struct {
	Dir *state.Dir
	// APIPort is the API server's port, on loopback and on NodeAddress.
	APIPort int
	// InheritedListeners are descriptors the API server serves too.
	InheritedListeners []int
	// NodeName is the Node object's name; NodeAddress the bridge's address, empty without a bridge.
	NodeName, NodeAddress string
	// PodCIDR and ServiceCIDR are address ranges; ServiceAddress is that of Service default/kubernetes.
	PodCIDR, ServiceCIDR, ServiceAddress string
	// Kubelet: the real kubelet runs here, with scheduler and kube-proxy.
	Kubelet bool
	// Scheduler runs beside another kind of node.
	Scheduler bool
	// RuntimeSocket is the kubelet's containerd, CgroupRoot its cgroup.
	RuntimeSocket, CgroupRoot string
	// MasqueradeAll: see Proxy.
	MasqueradeAll bool
	// Restricted: see Kubelet.
	Restricted bool
	// Uplink: other names may be asked for outside.
	Uplink bool
}

// The users of certificates, which are also the names of their kubeconfigs.
const (
	UserAdmin             = "admin"
	UserControllerManager = "controller-manager"
	UserScheduler         = "scheduler"
	UserNode              = "node"
	UserProxy             = "kube-proxy"
	UserDNS               = "dns"
	UserControlPlane      = "control-plane"
	UserBroker            = "broker"
	UserNodeAgent         = "node-agent"
)

// lightNodes is the group of those that stand in for a kubelet.
const lightNodes = "ebb:light-nodes"

// kubeconfigUsers get a kubeconfig each.
var kubeconfigUsers = []string{
	UserAdmin, UserControllerManager, UserScheduler, UserNode, UserProxy, UserDNS, UserControlPlane, UserBroker, UserNodeAgent,
}

// pki is the folder of certificates.
func (s Settings) pki() pki.Folder { return pki.Folder(s.Dir.PKI()) }

// Server is the API server's URL on this machine.
func (s Settings) Server() string { return "https://127.0.0.1:" + strconv.Itoa(s.APIPort) }

// Kubeconfig is the path of user's kubeconfig. The admin's is the one people use.
func (s Settings) Kubeconfig(user string) string {
	if user == UserAdmin {
		return s.Dir.Kubeconfig()
	}
	return s.Dir.Path("kube", user+".kubeconfig")
}

// CAFile, NodeCertFile and NodeKeyFile are what a node serves the kubelet's API with.
func (s Settings) CAFile() string       { return s.pki().CA() }
func (s Settings) NodeCertFile() string { return s.pki().Cert("kubelet-server") }
func (s Settings) NodeKeyFile() string  { return s.pki().Key("kubelet-server") }

// ConfigFile is the path of ebb-kube's configuration.
func (s Settings) ConfigFile() string { return s.Dir.Path("kube", "ebb-kube.json") }

// certificates are all that the settings need.
func (s Settings) certificates() []pki.Wanted {
	local := []net.IP{net.IPv4(127, 0, 0, 1)}
	served := append(local, net.ParseIP(s.ServiceAddress))
	if ip := net.ParseIP(s.NodeAddress); ip != nil {
		local, served = append(local, ip), append(served, ip)
	}
	var agent []string
	if !s.Kubelet {
		agent = []string{lightNodes}
	}
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + Domain}
	return []pki.Wanted{
		{Name: "apiserver", User: "kube-apiserver", DNS: names, IPs: served},
		{Name: "apiserver-to-kubelet", User: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}},
		{Name: "kubelet-server", User: "system:node:" + s.NodeName, Groups: []string{"system:nodes"}, DNS: []string{s.NodeName}, IPs: local},
		{Name: UserAdmin, User: "ebb:admin", Groups: []string{"system:masters"}},
		{Name: UserControllerManager, User: "system:kube-controller-manager"},
		{Name: UserScheduler, User: "system:kube-scheduler"},
		{Name: UserNode, User: "system:node:" + s.NodeName, Groups: []string{"system:nodes"}},
		{Name: UserProxy, User: "system:kube-proxy"},
		{Name: UserDNS, User: "ebb:dns"},
		// They are whom a cluster's manifests know, with the rights they have there.
		{Name: UserControlPlane, User: "system:serviceaccount:ebb-system:ebb-control-plane"},
		{Name: UserBroker, User: "system:serviceaccount:knative-eventing:ebb-broker"},
		{Name: UserNodeAgent, User: "ebb:node-agent", Groups: agent},
	}
}

// Write puts certificates, kubeconfigs and ebb-kube's configuration in place.
func (s Settings) Write(now time.Time) error {
	for _, d := range []string{s.Dir.Path("kube"), s.Dir.Path("kubelet"), s.Dir.Logs()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	if err := s.pki().Ensure(s.certificates(), now); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	for _, user := range kubeconfigUsers {
		if err := s.pki().Kubeconfig(s.Kubeconfig(user), user, s.Server()); err != nil {
			return err
		}
	}
	// Pods get no search domains of the machine's: a short name would be asked for outside, with the time that takes.
	if err := os.WriteFile(s.resolver(), resolverContent(s.Uplink), 0o644); err != nil {
		return err
	}
	data, err := json.MarshalIndent(s.Config(), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.ConfigFile(), append(data, '\n'), 0o600)
}

func (s Settings) resolver() string { return s.Dir.Path("kube", "resolv.conf") }

// Config is the configuration of ebb-kube for these settings.
func (s Settings) Config() Config {
	folder := s.pki()
	listen := []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(s.APIPort))}
	if s.NodeAddress != "" {
		listen = append(listen, net.JoinHostPort(s.NodeAddress, strconv.Itoa(s.APIPort)))
	}
	c := Config{
		Etcd: Etcd{DataDir: s.Dir.Path("etcd"), Socket: s.Dir.Run("etcd.sock")},
		APIServer: APIServer{
			Listen: listen, InheritedListeners: s.InheritedListeners, AdvertiseAddress: s.NodeAddress, ServiceCIDR: s.ServiceCIDR,
			CertFile: folder.Cert("apiserver"), KeyFile: folder.Key("apiserver"), ClientCAFile: folder.CA(),
			ServiceAccountKeyFile: folder.ServiceAccountKey(), ServiceAccountIssuer: "https://kubernetes.default.svc." + Domain,
			KubeletCAFile: folder.CA(), KubeletCertFile: folder.Cert("apiserver-to-kubelet"), KubeletKeyFile: folder.Key("apiserver-to-kubelet"),
			ReadyKubeconfig: s.Kubeconfig(UserControllerManager),
		},
		ControllerManager: &ControllerManager{
			Kubeconfig: s.Kubeconfig(UserControllerManager), RootCAFile: folder.CA(), ServiceAccountKeyFile: folder.ServiceAccountKey(),
		},
	}
	if s.NodeAddress != "" {
		c.DNS = &DNS{Listen: []string{s.NodeAddress}, Kubeconfig: s.Kubeconfig(UserDNS), Domain: Domain, Forward: forwarders(s.Uplink)}
	}
	if s.Kubelet || s.Scheduler {
		c.Scheduler = &Scheduler{Kubeconfig: s.Kubeconfig(UserScheduler)}
	}
	if s.Kubelet {
		c.Kubelet = s.kubelet()
		c.Proxy = &Proxy{
			NodeName: s.NodeName, Kubeconfig: s.Kubeconfig(UserProxy), PodCIDR: s.PodCIDR, NodeAddress: s.NodeAddress,
			MasqueradeAll: s.MasqueradeAll, Dir: s.Dir.Path("kube"),
		}
	}
	return c
}

func (s Settings) kubelet() *Kubelet {
	folder := s.pki()
	return &Kubelet{
		NodeName: s.NodeName, NodeIP: s.NodeAddress, Kubeconfig: s.Kubeconfig(UserNode),
		RootDir: s.Dir.Path("kubelet"), PodLogsDir: s.Dir.Path("logs", "pods"), ContainerLogsDir: s.Dir.Path("logs", "containers"),
		CertFile: folder.Cert("kubelet-server"), KeyFile: folder.Key("kubelet-server"), ClientCAFile: folder.CA(),
		RuntimeSocket: s.RuntimeSocket, CgroupRoot: s.CgroupRoot, ClusterDNS: s.NodeAddress, ResolverFile: s.resolver(),
		Restricted: s.Restricted, MaxPods: maxPods,
	}
}
