package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/klog/v2"
)

const (
	// nodeGrace is how long kubelet and controllers have to stop before the API server goes away under them.
	nodeGrace = 2 * time.Second
	// serverGrace is how long the API server has to answer what is in flight.
	serverGrace = time.Second
	// readyPoll is the pause between two looks at /readyz while starting.
	readyPoll = 25 * time.Millisecond
)

// component is one part of Kubernetes: it serves until ctx ends.
type component struct {
	name string
	run  func(ctx context.Context) error
}

// run starts everything in order, waits for ctx or the first failure, and stops in the reverse order.
func run(ctx context.Context, cfg *Config) error {
	if err := setUpProcess(cfg); err != nil {
		return err
	}
	store, err := startEtcd(cfg.Etcd)
	if err != nil {
		return err
	}
	// Not Close: it waits seconds for the API server's watches to end by themselves. Stop writes out what is in memory.
	defer store.Server.Stop()
	klog.InfoS("etcd serves", "socket", cfg.Etcd.Socket)

	failed := make(chan error, 8)
	server := launch(ctx, failed, []component{{"kube-apiserver", func(ctx context.Context) error { return runAPIServer(ctx, cfg) }}})
	defer server.stop(serverGrace)
	if err := waitReady(ctx, cfg.APIServer.ReadyKubeconfig, failed); err != nil {
		return err
	}
	klog.InfoS("API server ready", "address", cfg.APIServer.Listen[0])

	rest := launch(ctx, failed, clients(cfg))
	defer rest.stop(nodeGrace)
	go collectAhead(ctx)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// clients are the components that need the API server.
func clients(cfg *Config) []component {
	var cs []component
	if c := cfg.ControllerManager; c != nil {
		cs = append(cs, component{"kube-controller-manager", func(ctx context.Context) error { return runControllerManager(ctx, c) }})
	}
	if c := cfg.Scheduler; c != nil {
		cs = append(cs, component{"kube-scheduler", func(ctx context.Context) error { return runScheduler(ctx, c) }})
	}
	if c := cfg.Kubelet; c != nil {
		cs = append(cs, component{"kubelet", func(ctx context.Context) error { return runKubelet(ctx, c) }})
	}
	if c := cfg.Proxy; c != nil {
		proxy := func(ctx context.Context) error { return runProxy(ctx, c) }
		if cfg.DNS != nil {
			run := proxy
			proxy = func(ctx context.Context) error { return afterLogger(ctx, run) }
		}
		cs = append(cs, component{"kube-proxy", proxy})
	}
	if c := cfg.DNS; c != nil {
		cs = append(cs, component{"dns", func(ctx context.Context) error { return runDNS(ctx, c) }})
	}
	return cs
}

// group is a set of running components with a context of their own.
type group struct {
	cancel context.CancelFunc
	ended  chan string
	names  map[string]bool
}

// launch runs components beside each other. One that ends before it is asked to puts its error on failed.
// Their context does not end with ctx: stop decides the order.
func launch(ctx context.Context, failed chan<- error, components []component) *group {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g := &group{cancel: cancel, ended: make(chan string, len(components)), names: map[string]bool{}}
	for _, c := range components {
		g.names[c.name] = true
		go func() {
			err := c.run(own)
			g.ended <- c.name
			if own.Err() != nil {
				return
			}
			if err == nil {
				err = fmt.Errorf("ended by itself")
			}
			failed <- fmt.Errorf("%s: %w", c.name, err)
		}()
	}
	return g
}

// stop asks all components to end and waits for them at most grace; kube-proxy and DNS have nothing to finish and never answer.
func (g *group) stop(grace time.Duration) {
	g.cancel()
	delete(g.names, "kube-proxy")
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	for len(g.names) > 0 {
		select {
		case name := <-g.ended:
			delete(g.names, name)
		case <-deadline.C:
			klog.InfoS("Still running after the grace, left behind", "grace", grace, "components", len(g.names))
			return
		}
	}
}

// setUpProcess sets what is one per process: the collector's pace until collectAhead sees to it, logging and feature gates. Components apply the
// same logging again, which is ignored.
func setUpProcess(cfg *Config) error {
	debug.SetGCPercent(restPercent)
	logs.InitLogs()
	// InitLogs sends the standard logger through klog; CoreDNS sends klog through the standard logger. Only one way round can be.
	log.SetOutput(os.Stderr)
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	if err := logsapi.ValidateAndApply(logsapi.NewLoggingConfiguration(), utilfeature.DefaultFeatureGate); err != nil {
		return fmt.Errorf("logging: %w", err)
	}
	if cfg.Kubelet != nil && cfg.Kubelet.Restricted {
		if err := utilfeature.DefaultMutableFeatureGate.Set("KubeletInUserNamespace=true"); err != nil {
			return fmt.Errorf("feature gates: %w", err)
		}
	}
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	return nil
}

// waitReady returns when /readyz answers 200, a component has failed, or ctx ends.
func waitReady(ctx context.Context, kubeconfig string, failed <-chan error) error {
	conf, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	client, err := rest.HTTPClientFor(conf)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		if resp, err := client.Get(conf.Host + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return err
		case <-tick.C:
		}
	}
}

// writeFile puts data at path for this user alone.
func writeFile(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
