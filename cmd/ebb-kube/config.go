package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Config says what this process runs. A nil component does not run; etcd and the API server always do.
// All paths are absolute. The writer of the file is deploy/local/kube.
type Config struct {
	Etcd              Etcd               `json:"etcd"`
	APIServer         APIServer          `json:"apiServer"`
	ControllerManager *ControllerManager `json:"controllerManager,omitempty"`
	Scheduler         *Scheduler         `json:"scheduler,omitempty"`
	Kubelet           *Kubelet           `json:"kubelet,omitempty"`
	Proxy             *Proxy             `json:"proxy,omitempty"`
	DNS               *DNS               `json:"dns,omitempty"`
}

// Etcd is the embedded store. It listens on Socket alone.
type Etcd struct {
	DataDir string `json:"dataDir"`
	Socket  string `json:"socket"`
}

// APIServer serves on every address of Listen and on every inherited socket.
type APIServer struct {
	// Listen are HOST:PORT addresses; the first is what the server calls itself on and must be on this network namespace's loopback.
	Listen []string `json:"listen"`
	// InheritedListeners are file descriptors of listening TCP sockets made by the parent, served as well.
	InheritedListeners []int `json:"inheritedListeners,omitempty"`
	// AdvertiseAddress is the IP address pods reach the server on; it becomes the endpoint of Service default/kubernetes.
	// Empty: there is none.
	AdvertiseAddress string `json:"advertiseAddress,omitempty"`
	ServiceCIDR      string `json:"serviceCIDR"`

	CertFile              string `json:"certFile"`
	KeyFile               string `json:"keyFile"`
	ClientCAFile          string `json:"clientCAFile"`
	ServiceAccountKeyFile string `json:"serviceAccountKeyFile"`
	ServiceAccountIssuer  string `json:"serviceAccountIssuer"`
	// KubeletCAFile, KubeletCertFile and KubeletKeyFile are for the calls to kubelets: logs, exec, port-forward.
	KubeletCAFile   string `json:"kubeletCAFile"`
	KubeletCertFile string `json:"kubeletCertFile"`
	KubeletKeyFile  string `json:"kubeletKeyFile"`
	// ReadyKubeconfig authenticates the wait for readiness.
	ReadyKubeconfig string `json:"readyKubeconfig"`
}

// ControllerManager runs the controllers named in controllers.go.
type ControllerManager struct {
	Kubeconfig            string `json:"kubeconfig"`
	RootCAFile            string `json:"rootCAFile"`
	ServiceAccountKeyFile string `json:"serviceAccountKeyFile"`
}

// Scheduler is the default scheduler.
type Scheduler struct {
	Kubeconfig string `json:"kubeconfig"`
}

// Kubelet is the node of this machine.
type Kubelet struct {
	NodeName   string `json:"nodeName"`
	NodeIP     string `json:"nodeIP"`
	Kubeconfig string `json:"kubeconfig"`
	// RootDir holds volumes; PodLogsDir and ContainerLogsDir hold what containers write and links to it.
	RootDir          string `json:"rootDir"`
	PodLogsDir       string `json:"podLogsDir"`
	ContainerLogsDir string `json:"containerLogsDir"`
	CertFile         string `json:"certFile"`
	KeyFile          string `json:"keyFile"`
	ClientCAFile     string `json:"clientCAFile"`
	// RuntimeSocket is containerd's CRI socket.
	RuntimeSocket string `json:"runtimeSocket"`
	// CgroupRoot is the cgroup all pods live under, made by the parent in every controller.
	CgroupRoot string `json:"cgroupRoot"`
	ClusterDNS string `json:"clusterDNS"`
	// ResolverFile is what pods with dnsPolicy Default get, and the search domains of the others.
	ResolverFile string `json:"resolverFile"`
	// Restricted says that this process lacks privileges a kubelet expects (a user namespace, CAP_SYS_RESOURCE): errors that follow are
	// only logged.
	Restricted bool `json:"restricted,omitempty"`
	// Labels are put on the Node.
	Labels map[string]string `json:"labels,omitempty"`
	// MaxPods is the capacity of the Node.
	MaxPods int32 `json:"maxPods"`
}

// Proxy is kube-proxy with iptables.
type Proxy struct {
	NodeName   string `json:"nodeName"`
	Kubeconfig string `json:"kubeconfig"`
	PodCIDR    string `json:"podCIDR"`
	// NodeAddress is the only address that node ports are served on.
	NodeAddress string `json:"nodeAddress"`
	// MasqueradeAll hides the clients of Services; needed where the kernel does not show bridged packets to iptables.
	MasqueradeAll bool `json:"masqueradeAll,omitempty"`
	// Dir is where the generated configuration is put.
	Dir string `json:"dir"`
}

// DNS is CoreDNS with the kubernetes plugin.
type DNS struct {
	// Listen are the IP addresses served on port 53 (UDP and TCP).
	Listen     []string `json:"listen"`
	Kubeconfig string   `json:"kubeconfig"`
	Domain     string   `json:"domain"`
	// Forward are the name servers for all other names (a resolv.conf path or IP addresses); empty: other names do not exist.
	Forward []string `json:"forward,omitempty"`
}

// readConfig reads and checks the file at path. An unknown field is an error: writer and reader are of one version.
func readConfig(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	cfg, err := parseConfig(data)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return cfg, nil
}

func parseConfig(data []byte) (*Config, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	cfg := &Config{}
	if err := dec.Decode(cfg); err != nil {
		return nil, err
	}
	return cfg, cfg.validate()
}

func (c *Config) validate() error {
	switch {
	case c.Etcd.DataDir == "" || c.Etcd.Socket == "":
		return errors.New("etcd: dataDir and socket must be set")
	case len(c.APIServer.Listen) == 0:
		return errors.New("apiServer.listen: at least one address")
	case c.APIServer.ServiceCIDR == "":
		return errors.New("apiServer.serviceCIDR must be set")
	case c.APIServer.ReadyKubeconfig == "":
		return errors.New("apiServer.readyKubeconfig must be set")
	case c.Kubelet != nil && (c.Kubelet.NodeName == "" || c.Kubelet.NodeIP == "" || c.Kubelet.RuntimeSocket == ""):
		return errors.New("kubelet: nodeName, nodeIP and runtimeSocket must be set")
	case c.DNS != nil && len(c.DNS.Listen) == 0:
		return errors.New("dns.listen: at least one address")
	}
	return nil
}
