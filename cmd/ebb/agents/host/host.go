package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ebb.dev/ebb/deploy/envoy/runner"
	"ebb.dev/ebb/xds/agent"
	"ebb.dev/ebb/xds/model"
)

// Common are the options of every agent.
type Common struct {
	// ControlPlane is host:port or unix:PATH.
	ControlPlane string
	TrustDomain  string
	// TrustFile holds the roots to begin with.
	TrustFile string
	// TokenFile holds the token that proves who we are; empty asks the API server of Kubeconfig for one.
	TokenFile, Kubeconfig string
	// Dir is a private folder for sockets and bootstraps.
	Dir string
	// Envoy is the binary.
	Envoy string
	// Drain is how long a stop waits for requests in flight.
	Drain time.Duration
	Log   *slog.Logger
}

// Proxy is one Envoy to run.
type Proxy struct {
	// ID is the proxy's, Workers the number of its worker threads.
	ID      string
	Workers int
	// Bootstrap is the file that it starts with.
	Bootstrap string
}

// Host runs an agent and its Envoys until the context ends, and stops the Envoys first.
type Host struct {
	Common
	Agent *agent.Agent
	// Early starts the Envoys before the agent has its certificate; they wait for it themselves.
	Early bool
}

// New makes a host; name is the gateway's, for gateways. Nothing happens before Run.
func New(c Common, name string, token func(context.Context) (string, error)) (*Host, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", c.Dir, err)
	}
	a, err := agent.New(agent.Options{
		ControlPlane: c.ControlPlane, TrustDomain: c.TrustDomain, TrustFile: c.TrustFile,
		Token: token, Name: name, Socket: AgentSocket(c.Dir), Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	return &Host{Common: c, Agent: a}, nil
}

// Run runs the agent, then the proxies and whatever else, once the agent has its certificate.
func (h *Host) Run(ctx context.Context, proxies []Proxy, beside ...func(context.Context) error) error {
	// The agent outlives its Envoys: they need their secrets to the end.
	agentContext, stopAgent := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAgent()
	failed := make(chan error, 1+len(proxies)+len(beside))
	agentDone := make(chan struct{})
	go func() {
		defer close(agentDone)
		if err := h.Agent.Run(agentContext); err != nil {
			failed <- err
		}
	}()
	defer func() { stopAgent(); <-agentDone }()
	ctx, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	start := func() error {
		for _, p := range proxies {
			config, err := h.config(p)
			if err != nil {
				return err
			}
			group.Go(func() {
				if err := runner.Run(ctx, config); err != nil {
					failed <- err
				}
			})
		}
		return nil
	}
	if h.Early {
		if err := start(); err != nil {
			return err
		}
	}
	select {
	case <-h.Agent.Ready():
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
	if !h.Early {
		if err := start(); err != nil {
			return err
		}
	}
	for _, f := range beside {
		group.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				failed <- err
			}
		})
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// AgentSocket is where an agent with this folder serves secrets.
func AgentSocket(dir string) string { return filepath.Join(dir, "sds.sock") }

// AdminSocket is where the admin page of a proxy is whose agent has this folder.
func AdminSocket(dir, id string) string {
	name := filepath.Base(id)
	if model.IsSidecar(id) {
		// It is the only one of its folder, and a pod's name may be longer than a socket's path.
		name = "sidecar"
	}
	return filepath.Join(dir, "envoy-"+name+".sock")
}

// config is how an Envoy is run.
func (h *Host) config(p Proxy) (runner.Config, error) {
	if h.Envoy == "" {
		return runner.Config{}, errors.New("no envoy: give --envoy or put the pinned one beside this program (make bin/envoy)")
	}
	return runner.Config{
		Binary: h.Envoy, Bootstrap: p.Bootstrap, Node: p.ID, AdminSocket: AdminSocket(h.Dir, p.ID), Workers: p.Workers, Drain: h.Drain,
		Env: []string{model.ProxyEnvironment + "=" + p.ID}, Output: os.Stderr, Log: h.Log,
	}, nil
}
