package agents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ebb.dev/ebb/deploy/envoy/bootstrap"
	"ebb.dev/ebb/deploy/envoy/runner"
	"ebb.dev/ebb/xds/agent"
	"ebb.dev/ebb/xds/envoy"
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

// proxy is one Envoy to run.
type proxy struct {
	kind    bootstrap.Kind
	id      string
	workers int
}

// host runs an agent and its Envoys until the context ends, and stops the Envoys first.
type host struct {
	Common
	agent *agent.Agent
	// early starts the Envoys before the agent has its certificate; they wait for it themselves.
	early bool
}

func newHost(c Common, name string, token func(context.Context) (string, error)) (*host, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", c.Dir, err)
	}
	a, err := agent.New(agent.Options{
		ControlPlane: c.ControlPlane, TrustDomain: c.TrustDomain, TrustFile: c.TrustFile,
		Token: token, Name: name, Socket: filepath.Join(c.Dir, "sds.sock"), Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	return &host{Common: c, agent: a}, nil
}

// run runs the agent, then the proxies and whatever else, once the agent has its certificate.
func (h *host) run(ctx context.Context, proxies []proxy, beside ...func(context.Context) error) error {
	// The agent outlives its Envoys: they need their secrets to the end.
	agentContext, stopAgent := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAgent()
	failed := make(chan error, 1+len(proxies)+len(beside))
	agentDone := make(chan struct{})
	go func() {
		defer close(agentDone)
		if err := h.agent.Run(agentContext); err != nil {
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
			config, err := h.prepare(p)
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
	if h.early {
		if err := start(); err != nil {
			return err
		}
	}
	select {
	case <-h.agent.Ready():
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
	if !h.early {
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

// adminSocket is where a proxy's admin page is.
func (h *host) adminSocket(id string) string {
	name := filepath.Base(id)
	if model.IsSidecar(id) {
		// It is the only one of its folder, and a pod's name may be longer than a socket's path.
		name = "sidecar"
	}
	return filepath.Join(h.Dir, "envoy-"+name+".sock")
}

// prepare writes an Envoy's bootstrap.
func (h *host) prepare(p proxy) (runner.Config, error) {
	admin := h.adminSocket(p.id)
	data, err := bootstrap.JSON(bootstrap.Settings{
		Kind: p.kind, ProxyID: p.id, ControlPlane: h.ControlPlane, TrustDomain: h.TrustDomain,
		AgentSocket: filepath.Join(h.Dir, "sds.sock"), AdminSocket: admin,
	})
	if err != nil {
		return runner.Config{}, err
	}
	file := strings.TrimSuffix(admin, ".sock") + ".json"
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return runner.Config{}, fmt.Errorf("write a bootstrap: %w", err)
	}
	if h.Envoy == "" {
		return runner.Config{}, errors.New("no envoy: give --envoy or put the pinned one beside this program (make bin/envoy)")
	}
	return runner.Config{
		Binary: h.Envoy, Bootstrap: file, AdminSocket: admin, Workers: p.workers, Drain: h.Drain,
		Env: []string{envoy.GatewayEnvironment + "=" + p.id}, Output: os.Stderr, Log: h.Log,
	}, nil
}
