package light

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/deploy/local/light/sandbox"
)

// Options say how a light node runs. Config, Name, Dir and Images are needed.
type Options struct {
	// Config reaches the API server as somebody who may watch and bind pods, write their status, read ConfigMaps, Secrets and Services,
	// request tokens, and write Nodes, Leases and Events.
	Config *rest.Config
	// Name is the Node's.
	Name string
	// Dir holds volumes, logs and what programs write; it is removed piece by piece as pods end.
	Dir string
	// Images resolves and unpacks images.
	Images *image.Resolver

	Labels map[string]string
	Taints []corev1.Taint
	// MaxPods is the Node's capacity; 0 is 250.
	MaxPods int

	// Mode forces a mode; empty is the best that works.
	Mode sandbox.Mode
	// Bridge and Subnet are an existing pod network (see sandbox.Options); empty: the node makes its own.
	Bridge string
	Subnet netip.Prefix
	Pool   int
	// NodeIP is the Node's InternalIP; invalid: the bridge's address, or in plain mode the host's.
	NodeIP netip.Addr

	// Listen is the address of the kubelet's API; empty: NodeIP and any port. CertFile and KeyFile are the server's,
	// ClientCAFile verifies callers. Without CertFile there is no API.
	Listen                          string
	CertFile, KeyFile, ClientCAFile string

	// Nameservers, Search and ClusterDomain make the pods' resolv.conf; without Nameservers they get the host's.
	Nameservers   []string
	ClusterDomain string
	// APIServerHost and APIServerPort stand in for Service default/kubernetes in the pods' environment, where its cluster address is not served.
	APIServerHost, APIServerPort string

	// LogLimit bounds a container's log, in bytes; twice that is kept.
	LogLimit int64

	// OnAddress is called when a pod has its address, before its programs are started. It must not block.
	OnAddress func(PodAddressed)
	// OnStart is called when a pod's first program has been executed, before anything is written to the API. It must not block.
	OnStart func(PodStarted)
	// Drain is called when a pod is to end, before preStop and TERM; its context ends with the grace period.
	Drain func(ctx context.Context, pod *corev1.Pod) error
	// OnStop is called when a pod's programs have all ended. It must not block.
	OnStop func(PodStopped)
	// OnReady is called once the Node is registered.
	OnReady func(Info)

	Log *slog.Logger
}

// PodAddressed is the first word of a pod.
type PodAddressed struct {
	UID, Namespace, Name string
	IP                   string
	Labels               map[string]string
}

// PodStarted is the first word of a running pod.
type PodStarted struct {
	PodAddressed
	Seen, At time.Time // when the node first saw the pod, and when the program was executed
}

// PodStopped is the last word of a pod.
type PodStopped struct {
	UID, Namespace, Name string
	IP                   string
	At                   time.Time
}

// Info says what kind of node it became.
type Info struct {
	Ability sandbox.Ability
	NodeIP  netip.Addr
	Subnet  netip.Prefix
	APIPort int
}

// Run runs the node until ctx ends, then ends its pods' programs and returns.
func Run(ctx context.Context, o Options) error {
	n, err := open(&o)
	if err != nil {
		return fmt.Errorf("light node %s: %w", o.Name, err)
	}
	err = n.run(ctx)
	if err = errors.Join(err, n.host.Close(), n.release()); err != nil {
		return fmt.Errorf("light node %s: %w", o.Name, err)
	}
	return nil
}

// node is what all parts share.
type node struct {
	Options
	client  kubernetes.Interface
	host    *sandbox.Host
	release func() error // of what lies in memory
	objects *objects
	events  *eventWriter
	api     net.Listener
	nodeIP  netip.Addr
	memory  int64 // bytes
}

func open(o *Options) (*node, error) {
	if o.Config == nil || o.Name == "" || o.Dir == "" || o.Images == nil {
		return nil, errors.New("Config, Name, Dir and Images must be set")
	}
	o.Log = cmp.Or(o.Log, slog.Default())
	o.MaxPods = cmp.Or(o.MaxPods, 250)
	config := rest.CopyConfig(o.Config)
	config.QPS = -1 // this node's writes are few and each is waited for: a throttle would only delay starts
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	// Volumes and logs belong to pods that are started anew.
	for _, d := range []string{"pods", "logs"} {
		if err := os.RemoveAll(filepath.Join(o.Dir, d)); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(filepath.Join(o.Dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	// Before the sandbox: its threads see what is mounted when they begin.
	release, err := openMemory(filepath.Join(o.Dir, "memory"))
	if err != nil {
		return nil, err
	}
	host, err := sandbox.Open(sandbox.Options{
		Dir: filepath.Join(o.Dir, "sandbox"), Mode: o.Mode, Bridge: o.Bridge, Subnet: o.Subnet, Pool: o.Pool,
		Warn: func(what string, err error) { o.Log.Warn("sandbox", "what", what, "err", err) },
	})
	if err != nil {
		return nil, errors.Join(err, release())
	}
	n := &node{Options: *o, client: client, host: host, release: release}
	if err := n.prepare(); err != nil {
		return nil, errors.Join(err, host.Close(), release())
	}
	return n, nil
}

func (n *node) prepare() error {
	var err error
	if n.nodeIP, err = n.address(); err != nil {
		return err
	}
	if n.memory, err = totalMemory(); err != nil {
		return err
	}
	if n.CertFile != "" {
		if n.api, err = net.Listen("tcp", cmp.Or(n.Listen, net.JoinHostPort(n.nodeIP.String(), "0"))); err != nil {
			return fmt.Errorf("kubelet API: %w", err)
		}
	}
	n.events = newEventWriter(n.client, n.Name, n.Log)
	n.objects = newObjects(n.client, n.Log)
	return nil
}

// address finds where the API server reaches this node, and in plain mode where everybody reaches its pods.
func (n *node) address() (netip.Addr, error) {
	if n.NodeIP.IsValid() {
		return n.NodeIP, nil
	}
	if g := n.host.Gateway(); g.IsValid() {
		return g, nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if ipn, ok := a.(*net.IPNet); ok && ipn.IP.To4() != nil && !ipn.IP.IsLoopback() {
			ip, _ := netip.AddrFromSlice(ipn.IP.To4())
			return ip, nil
		}
	}
	return netip.Addr{}, errors.New("this machine has no address but loopback, which Kubernetes does not accept for pods; give it one, set NodeIP, or run as root")
}

func (n *node) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	eventsDone := make(chan struct{})
	eventsCtx, stopEvents := context.WithCancel(context.WithoutCancel(ctx))
	go func() { defer close(eventsDone); n.events.run(eventsCtx) }()
	defer func() { stopEvents(); <-eventsDone }()
	m := newManager(n) // before the watches, which tell it of changes
	if err := n.objects.start(ctx); err != nil {
		return err
	}
	if err := n.register(ctx); err != nil {
		return err
	}
	failed := make(chan error, 2)
	if n.api != nil {
		server, err := n.newAPIServer(m)
		if err != nil {
			return err
		}
		go func() { failed <- server.ServeTLS(n.api, "", "") }()
		defer server.Close()
	}
	go n.heartbeat(ctx)
	ability := n.host.Ability()
	n.Log.Info("light node ready", "node", n.Name, "mode", ability.Mode, "why", ability.Why, "limits", ability.Limits, "address", n.nodeIP.String())
	if n.OnReady != nil {
		n.OnReady(Info{Ability: ability, NodeIP: n.nodeIP, Subnet: n.host.Subnet(), APIPort: n.apiPort()})
	}
	managed := make(chan struct{})
	go func() { defer close(managed); m.run(ctx) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	cancel()
	<-managed
	return err
}

func (n *node) apiPort() int {
	if n.api == nil {
		return 0
	}
	return n.api.Addr().(*net.TCPAddr).Port
}

// LeavesOut lists, a short sentence each, what a kubelet does and this node in this mode does not.
func LeavesOut(a sandbox.Ability) []string {
	out := []string{
		"no seccomp, AppArmor or SELinux: processes share the kernel unfiltered",
		"no persistent volume claims, CSI, ephemeral or image volumes",
		"no device plugins, huge pages, NUMA or CPU pinning, eviction or static pods",
		"containers of a pod share the network, not IPC or processes (shareProcessNamespace and hostIPC are not looked at)",
		"pods reach the outside only if the machine forwards for them; cluster IPs only if something serves them",
	}
	if a.Limits == "" {
		out = append(out, "CPU and memory limits are not enforced: no control group is writable")
	}
	if a.Rootless {
		out = append(out, "users that your namespace does not map run as you")
	}
	if a.Mode == sandbox.Isolated && !a.OwnProc {
		out = append(out, "/proc shows the machine's processes (a kernel from 6.17 on shows the container's)")
	}
	if a.Mode == sandbox.Plain {
		out = append(out,
			"no isolation ("+a.Why+"): processes see the machine's files, processes and network, and run as you",
			"a pod's address is the machine's; this node runs one replica a port",
			"volumes are not at their paths but under $EBB_VOLUMES, the image's files under $EBB_ROOTFS",
			"for more, run ebb up as root or allow user namespaces")
	}
	return out
}
