package kube

// Config is what ebb-kube reads; its own module has the same type with the meaning of each field (cmd/ebb-kube/config.go).
// TestConfigurationIsWhatEbbKubeReads holds the two together.
type Config struct {
	Etcd              Etcd               `json:"etcd"`
	APIServer         APIServer          `json:"apiServer"`
	ControllerManager *ControllerManager `json:"controllerManager,omitempty"`
	Scheduler         *Scheduler         `json:"scheduler,omitempty"`
	Kubelet           *Kubelet           `json:"kubelet,omitempty"`
	Proxy             *Proxy             `json:"proxy,omitempty"`
	DNS               *DNS               `json:"dns,omitempty"`
}

// Etcd is the store.
type Etcd struct {
	DataDir string `json:"dataDir"`
	Socket  string `json:"socket"`
}

// APIServer is the API server.
type APIServer struct {
	Listen                []string `json:"listen"`
	InheritedListeners    []int    `json:"inheritedListeners,omitempty"`
	AdvertiseAddress      string   `json:"advertiseAddress,omitempty"`
	ServiceCIDR           string   `json:"serviceCIDR"`
	CertFile              string   `json:"certFile"`
	KeyFile               string   `json:"keyFile"`
	ClientCAFile          string   `json:"clientCAFile"`
	ServiceAccountKeyFile string   `json:"serviceAccountKeyFile"`
	ServiceAccountIssuer  string   `json:"serviceAccountIssuer"`
	KubeletCAFile         string   `json:"kubeletCAFile"`
	KubeletCertFile       string   `json:"kubeletCertFile"`
	KubeletKeyFile        string   `json:"kubeletKeyFile"`
	ReadyKubeconfig       string   `json:"readyKubeconfig"`
}

// ControllerManager is the controller manager.
type ControllerManager struct {
	Kubeconfig            string `json:"kubeconfig"`
	RootCAFile            string `json:"rootCAFile"`
	ServiceAccountKeyFile string `json:"serviceAccountKeyFile"`
}

// Scheduler is the scheduler.
type Scheduler struct {
	Kubeconfig string `json:"kubeconfig"`
}

// Kubelet is the node.
type Kubelet struct {
	NodeName         string            `json:"nodeName"`
	NodeIP           string            `json:"nodeIP"`
	Kubeconfig       string            `json:"kubeconfig"`
	RootDir          string            `json:"rootDir"`
	PodLogsDir       string            `json:"podLogsDir"`
	ContainerLogsDir string            `json:"containerLogsDir"`
	CertFile         string            `json:"certFile"`
	KeyFile          string            `json:"keyFile"`
	ClientCAFile     string            `json:"clientCAFile"`
	RuntimeSocket    string            `json:"runtimeSocket"`
	CgroupRoot       string            `json:"cgroupRoot"`
	ClusterDNS       string            `json:"clusterDNS"`
	ResolverFile     string            `json:"resolverFile"`
	Restricted       bool              `json:"restricted,omitempty"`
	Labels           map[string]string `json:"labels,omitempty"`
	MaxPods          int32             `json:"maxPods"`
}

// Proxy is kube-proxy.
type Proxy struct {
	NodeName      string `json:"nodeName"`
	Kubeconfig    string `json:"kubeconfig"`
	PodCIDR       string `json:"podCIDR"`
	NodeAddress   string `json:"nodeAddress"`
	MasqueradeAll bool   `json:"masqueradeAll,omitempty"`
	Dir           string `json:"dir"`
}

// DNS is CoreDNS.
type DNS struct {
	Listen     []string `json:"listen"`
	Kubeconfig string   `json:"kubeconfig"`
	Domain     string   `json:"domain"`
	Forward    []string `json:"forward,omitempty"`
}
