package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"ebb.dev/ebb/deploy/local/cgroup"
	"ebb.dev/ebb/deploy/local/cri"
	"ebb.dev/ebb/deploy/local/kube"
	"ebb.dev/ebb/deploy/local/network"
	"ebb.dev/ebb/deploy/local/process"
	"ebb.dev/ebb/deploy/local/progress"
	"ebb.dev/ebb/deploy/local/state"
)

// platform is one run of Up.
type platform struct {
	opts  Options
	dir   *state.Dir
	inst  state.Instance
	tools tools
	tree  *cgroup.Tree // nil with a light node

	settings kube.Settings
	cri      cri.Config
	super    *process.Supervisor
	// started are the names of Ebb's own processes, in start order.
	started []string
	log     *slog.Logger
	show    progress.Sink
	began   time.Time
}

// Up brings the platform up, tells that it is ready, serves until ctx ends, and takes it down again. It returns nil after a clean end.
func Up(ctx context.Context, opts Options) error {
	p := &platform{opts: opts, log: opts.Log, show: opts.Progress, began: time.Now()}
	if p.log == nil {
		p.log = slog.Default()
	}
	if p.show == nil {
		p.show = progress.Discard{}
	}
	dir, err := state.Open(opts.State)
	if err != nil {
		return err
	}
	p.dir = dir
	if isInner() {
		return p.runInner(ctx)
	}
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := p.recoverFolder(); err != nil {
		return err
	}
	if wantsAround(opts) {
		return p.around(ctx, lock)
	}
	if err := p.prepare(); err != nil {
		return err
	}
	return p.run(ctx)
}

// runInner is Up inside the namespaces that around made: the folder is locked and clean, and what must be the same outside is chosen.
func (p *platform) runInner(ctx context.Context) error {
	var err error
	if p.tools, err = findTools(p.opts.Bin); err != nil {
		return err
	}
	if p.inst, err = p.dir.Load(); err != nil {
		return err
	}
	if err := p.enterInner(); err != nil {
		return err
	}
	return p.run(ctx)
}

// recoverFolder undoes what an earlier run left, if it did not end as it should.
func (p *platform) recoverFolder() error {
	if !leftovers(p.dir) {
		return nil
	}
	p.show.Event(progress.Event{Kind: progress.Note, Text: "an earlier run did not end cleanly: cleaning up after it"})
	return clean(p.dir)
}

// prepare decides and checks everything that can be before anything starts.
func (p *platform) prepare() error {
	var err error
	if p.tools, err = findTools(p.opts.Bin); err != nil {
		return err
	}
	if p.inst, err = p.dir.Load(); err != nil {
		return err
	}
	fresh := p.inst.APIPort == 0
	kind, note, err := chooseNode(p.opts.Node, &p.tools)
	if err != nil {
		return err
	}
	if note != "" {
		p.show.Event(progress.Event{Kind: progress.Note, Text: note})
	}
	p.inst.Node = kind
	if p.inst.NodeName == "" {
		p.inst.NodeName = nodeName()
	}
	if err := p.choosePorts(fresh); err != nil {
		return err
	}
	if network.Allowed() && (fresh || !network.Free(network.Plan{Index: p.inst.Network})) {
		plan, err := network.Choose()
		if err != nil {
			return err
		}
		p.inst.Network = plan.Index
	}
	return p.dir.Save(p.inst)
}

const (
	preferredAPIPort      = 6443
	preferredRegistryPort = 5050
)

func (p *platform) choosePorts(fresh bool) error {
	var err error
	switch {
	case p.opts.HTTPPort != 0:
		p.inst.HTTPPort = p.opts.HTTPPort
	case p.inst.HTTPPort == 0 && os.Geteuid() == 0:
		p.inst.HTTPPort = 80
	case p.inst.HTTPPort == 0:
		p.inst.HTTPPort = 8080
	}
	if err := checkPort(p.inst.HTTPPort, "--http-port"); err != nil {
		return err
	}
	switch {
	case p.opts.APIPort != 0:
		p.inst.APIPort = p.opts.APIPort
	case fresh:
		if p.inst.APIPort, err = freePort(preferredAPIPort); err != nil {
			return err
		}
	}
	if err := checkPort(p.inst.APIPort, "--api-port"); err != nil {
		return err
	}
	if p.inst.RegistryPort == 0 || checkPort(p.inst.RegistryPort, "") != nil {
		p.inst.RegistryPort, err = freePort(preferredRegistryPort)
	}
	return err
}

// run starts everything, serves, and undoes everything.
func (p *platform) run(ctx context.Context) (err error) {
	if err := p.recordSelf(); err != nil {
		return err
	}
	defer func() {
		if e := p.shutDown(); e != nil && err == nil {
			err = e
		}
	}()
	if err := p.surroundings(); err != nil {
		return err
	}
	if err := p.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if err := p.tellReady(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (p *platform) recordSelf() error {
	r := state.Record{Name: state.Supervisor, State: "starting", Started: p.began, Log: p.dir.Log(state.Supervisor)}
	if err := r.Identify(os.Getpid()); err != nil {
		return err
	}
	return p.dir.Write(r)
}

// surroundings makes network, cgroups and files.
func (p *platform) surroundings() error {
	plan := network.Plan{Index: p.inst.Network}
	p.settings = kube.Settings{
		Dir: p.dir, APIPort: p.inst.APIPort, NodeName: p.inst.NodeName,
		ServiceCIDR: network.ServiceCIDR, ServiceAddress: network.ServiceAddress,
		Kubelet: p.inst.Node == NodeKubelet, Restricted: restricted(),
	}
	if isInner() {
		// The first of a child's own descriptors is 3.
		p.settings.InheritedListeners = []int{3}
	}
	if network.Allowed() {
		result, err := network.Up(plan, network.NewLedger(p.dir.Path("network.json")), network.Options{Proxy: p.settings.Kubelet})
		if err != nil {
			return err
		}
		p.settings.NodeAddress, p.settings.PodCIDR = plan.Address().String(), plan.CIDR().String()
		p.settings.Uplink, p.settings.MasqueradeAll = result.Uplink, p.settings.Kubelet && !result.BridgeFiltered
	}
	var adopt func(int) error
	if p.settings.Kubelet {
		h, err := cgroup.Detect()
		if err != nil {
			return err
		}
		p.tree = cgroup.NewTree(h, "ebb-"+p.dir.ID())
		if err := p.tree.Create(); err != nil {
			return err
		}
		adopt = p.tree.Adopt
		if err := rememberOutside(p.dir); err != nil {
			return err
		}
		if err := p.writeRuntime(plan); err != nil {
			return err
		}
		p.settings.RuntimeSocket, p.settings.CgroupRoot = p.cri.Socket(), p.tree.Pods()
	}
	p.super = process.New(p.dir, adopt, p.log)
	return p.settings.Write(time.Now())
}

func (p *platform) writeRuntime(plan network.Plan) error {
	image, err := cri.SandboxImage(p.tools.pause)
	if err != nil {
		return err
	}
	p.cri = cri.Config{
		Root: p.dir.Path("containerd"), State: p.dir.Run("c"), Sockets: p.dir.Run("k"), Conf: p.dir.Path("conf"),
		Runc: p.tools.runc, Shim: p.tools.shim, CNI: p.tools.cni, SandboxImage: image, Snapshotter: snapshotter(p.dir.Root()),
		Bridge: plan.Bridge(), PodCIDR: plan.CIDR().String(), Gateway: plan.Address().String(),
		Registry: "http://" + loopback(p.inst.RegistryPort),
	}
	if err := p.cri.ClearVolatile(); err != nil {
		return err
	}
	return p.cri.Write()
}

// start starts containerd and Kubernetes beside each other, then the node and Ebb's own processes.
func (p *platform) start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	runtimeReady := make(chan error, 1)
	if p.settings.Kubelet {
		go func() { runtimeReady <- p.startRuntime(ctx) }()
	} else {
		runtimeReady <- nil
	}
	cluster, err := p.startKubernetes(ctx)
	if err != nil {
		return errors.Join(err, cancelled(<-runtimeReady))
	}
	if err := <-runtimeReady; err != nil {
		return err
	}
	node := make(chan error, 1)
	if p.settings.Kubelet {
		go func() { node <- p.waitNode(ctx, cluster) }()
	} else {
		node <- nil
	}
	for _, c := range p.components() {
		if err := p.startComponent(ctx, c); err != nil {
			cancel()
			return errors.Join(err, cancelled(<-node))
		}
	}
	return <-node
}

// cancelled drops the error of what was only stopped because something else failed.
func cancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (p *platform) startRuntime(ctx context.Context) error {
	client, err := cri.Connect(p.cri.Socket())
	if err != nil {
		return err
	}
	defer client.Close()
	return progress.Step(p.show, "containerd", "its socket", func() error {
		err := p.super.Start(ctx, process.Spec{
			// It takes what its shims write for their addresses: traces of Go, too, if the environment asks for them.
			Name: "containerd", Path: p.tools.containerd, Args: []string{"--config", p.cri.File()}, Env: []string{"GODEBUG="}, Address: p.cri.Socket(),
			Ready: client.Ready, StopTimeout: 10 * time.Second,
		})
		if err != nil {
			return err
		}
		return cri.EnsureSandboxImage(ctx, client.Images, p.cri, p.tools.pause)
	})
}

func (p *platform) startKubernetes(ctx context.Context) (*kube.Cluster, error) {
	cluster, err := kube.NewCluster(p.settings.Kubeconfig(kube.UserAdmin))
	if err != nil {
		return nil, err
	}
	return cluster, progress.Step(p.show, kubeVersion, "the API server", func() error {
		err := p.super.Start(ctx, process.Spec{
			Name: "kubernetes", Path: p.tools.kube, Args: []string{"run", p.settings.ConfigFile()}, Address: p.settings.Server(),
			Files: apiListener(), Ready: cluster.Ready, ReadyTimeout: 2 * time.Minute, StopTimeout: 10 * time.Second,
		})
		if err != nil {
			return err
		}
		err = cluster.Bootstrap(ctx)
		if err == nil && p.opts.Components != nil {
			err = cluster.Grant(ctx)
		}
		return err
	})
}

// nodeTimeout is how long a node may take to report ready.
const nodeTimeout = time.Minute

func (p *platform) waitNode(ctx context.Context, cluster *kube.Cluster) error {
	return progress.Step(p.show, "node (kubelet)", "the node to be ready", func() error {
		ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
		defer cancel()
		tick := time.NewTicker(process.ReadyPoll)
		defer tick.Stop()
		var last error
		for {
			err := cluster.NodeReady(ctx, p.inst.NodeName, p.began)
			if err == nil {
				return nil
			}
			// The error of a call that was cut off would hide what the one before had to say.
			if ctx.Err() == nil {
				last = err
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%w; see: %s logs kubernetes%s", last, p.command(), p.stateFlag())
			case <-tick.C:
			}
		}
	})
}

func (p *platform) components() []Component {
	if p.opts.Components == nil {
		return nil
	}
	return p.opts.Components(p.environment())
}

func (p *platform) startComponent(ctx context.Context, c Component) error {
	title := c.Title
	if title == "" {
		title = c.Name
	}
	p.started = append(p.started, c.Name)
	return progress.Step(p.show, title, c.WaitsFor, func() error { return p.super.Start(ctx, c.Spec) })
}

func (p *platform) environment() Environment {
	s := p.settings
	e := Environment{
		State: p.dir.Root(), Run: p.dir.Run(), Logs: p.dir.Logs(), Ebb: p.tools.ebb, Envoy: p.tools.envoy, Bin: p.tools.bin,
		Server: s.Server(), AdminKubeconfig: s.Kubeconfig(kube.UserAdmin), ControlPlaneKubeconfig: s.Kubeconfig(kube.UserControlPlane),
		BrokerKubeconfig: s.Kubeconfig(kube.UserBroker), NodeAgentKubeconfig: s.Kubeconfig(kube.UserNodeAgent), NodeKubeconfig: s.Kubeconfig(kube.UserNode),
		CAFile: s.CAFile(), NodeCertFile: s.NodeCertFile(), NodeKeyFile: s.NodeKeyFile(),
		HTTPPort: p.inst.HTTPPort, NodeKind: p.inst.Node, NodeName: p.inst.NodeName, BridgeAddress: s.NodeAddress, PodCIDR: s.PodCIDR,
		DNSAddress: s.NodeAddress, ClusterDomain: kube.Domain, RegistryAddress: loopback(p.inst.RegistryPort), RuntimeSocket: s.RuntimeSocket,
	}
	if isInner() {
		e.HTTPSocket, e.EgressSocket = p.dir.Run("http.sock"), p.dir.Run("egress.sock")
	}
	return e
}

func (p *platform) tellReady() error {
	r, err := find(p.dir, state.Supervisor)
	if err != nil {
		return err
	}
	r.State, r.Address = "ready", fmt.Sprintf("http://localhost:%d", p.inst.HTTPPort)
	if err := p.dir.Write(*r); err != nil {
		return err
	}
	p.log.Info("platform ready", "took", time.Since(p.began).Round(time.Millisecond), "state", p.dir.Root())
	p.show.Event(progress.Event{Kind: progress.Ready, Text: p.readyText()})
	return nil
}

func (p *platform) readyText() string {
	port := ""
	if p.inst.HTTPPort != 80 {
		port = fmt.Sprintf(":%d", p.inst.HTTPPort)
	}
	flag := p.stateFlag()
	return fmt.Sprintf("ready: http://*.default.localhost%s   ·   export KUBECONFIG=$(%[2]s kubeconfig%[3]s)   ·   stop with: %[2]s down%[3]s", port, p.command(), flag)
}

// command is how this program was called, for advice that can be pasted.
func (p *platform) command() string { return os.Args[0] }

// stateFlag names the state folder where it is not the default.
func (p *platform) stateFlag() string {
	if d, err := state.Default(); err == nil && d == p.dir.Root() {
		return ""
	}
	return " --state " + p.dir.Root()
}
