package warmpath

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"syscall"

	"ebb.dev/ebb/crds/networking"
	"ebb.dev/ebb/test/bench/processes"
	"ebb.dev/ebb/test/bench/testbed"
)

// generations start all Envoys, again and again.
type generations struct {
	bed *testbed.Bed
	o   Options
	// dir has the static ones' certificates, which roots vouch for.
	dir, roots string
	// revision has one replica, whose app is at this address.
	revision, app string

	// n is how many there were.
	n int
	// statics are the static Envoys that run.
	statics []*envoy
	// staticPods are the processes of all static Envoys in pods.
	staticPods []int
}

// next ends the Envoys that are there, and starts others: Ebb's are started again by Ebb.
func (g *generations) next(ctx context.Context) ([]subject, error) {
	g.stop()
	ebb, err := g.ebb()
	if err != nil {
		return nil, err
	}
	if g.n > 0 {
		if ebb, err = g.restarted(ctx, ebb); err != nil {
			return nil, err
		}
		if g.bed.ReplicaProxy == inPods {
			if err := g.bed.Scale(ctx, testbed.Bare, g.podName(), 0); err != nil {
				return nil, err
			}
		}
	}
	g.n++
	alone, inner, gateway, err := g.startStatics(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range []*envoy{alone, inner, gateway} {
		if e.run == nil {
			continue // its pod weighs as any other
		}
		if err := weighLike(e.pid, ebb.proxies[0]); err != nil {
			return nil, fmt.Errorf("put %s where Ebb's Envoys are: %w", e.Name, err)
		}
	}
	return []subject{
		{name: direct, address: net.JoinHostPort(g.app, fmt.Sprint(appPort)), host: ebb.host},
		{name: single, address: alone.address(), host: ebb.host, proxies: []int{alone.pid}},
		{name: pairOf, address: gateway.address(), host: ebb.host, proxies: []int{inner.pid, gateway.pid}},
		ebb,
	}, nil
}

// stop ends the static ones that are processes; a pod ends when the next one begins, the last with the platform.
func (g *generations) stop() {
	stop(g.statics)
	g.statics = nil
}

// restarted ends Ebb's Envoys and waits until there are others in their places, and an answer by them.
func (g *generations) restarted(ctx context.Context, before subject) (after subject, err error) {
	for _, pid := range before.proxies {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			return after, fmt.Errorf("end Envoy %d: %w", pid, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = testbed.Until(ctx, "wait for Ebb's Envoys", func() error {
		if after, err = g.ebb(); err != nil {
			return err
		}
		old := slices.ContainsFunc(after.proxies, func(pid int) bool { return slices.Contains(before.proxies, pid) })
		if old || len(after.proxies) != len(before.proxies) {
			return fmt.Errorf("there are %v, after %v", after.proxies, before.proxies)
		}
		_, err := testbed.Ask(after.address, after.host, "/")
		return err
	})
	return after, err
}

// podName is that of this generation's static sidecar, where it is in a pod.
func (g *generations) podName() string { return fmt.Sprintf("static-sidecar-%d", g.n) }

// inPod starts a static sidecar in a pod of its own.
func (g *generations) inPod(ctx context.Context, s static) (*envoy, error) {
	before, err := sidecarEnvoys()
	if err != nil {
		return nil, err
	}
	e, err := s.startInPod(ctx, g.bed, g.revision, g.podName(), before)
	if err == nil {
		g.staticPods = append(g.staticPods, e.pid)
	}
	return e, err
}

const appPort = 8080

// The identities of a static gateway and sidecar.
const gatewayID, sidecarID = "spiffe://bench/gateway", "spiffe://bench/sidecar"

// startStatics starts a single one, and a gateway with a sidecar behind it. Where Ebb's sidecar is in its pod, so is the other, in one of its own.
func (g *generations) startStatics(ctx context.Context) (alone, inner, gateway *envoy, err error) {
	file := func(name string) string { return filepath.Join(g.dir, name) }
	single := static{Name: "single", Port: g.o.FirstPort, Workers: 2, Host: g.app, To: appPort}
	behind := static{
		Name: "sidecar", Port: g.o.FirstPort + 2, Workers: 1, Host: g.app, To: appPort, ServeTLS: gatewayID,
		Certificate: file("sidecar.pem"), Key: file("sidecar.key"), Roots: g.roots,
	}
	before := static{
		Name: "gateway", Port: g.o.FirstPort + 1, Workers: 2, DialTLS: sidecarID, Host: "127.0.0.1", To: behind.Port,
		Certificate: file("gateway.pem"), Key: file("gateway.key"), Roots: g.roots,
	}
	processes := []static{single, before, behind}
	if g.bed.ReplicaProxy == inPods {
		behind.Host, behind.Port = "127.0.0.1", networking.ReplicaHTTPSPort
		if inner, err = g.inPod(ctx, behind); err != nil {
			return nil, nil, nil, err
		}
		before.Host, before.To = inner.host, inner.Port
		processes = []static{single, before}
	}
	if g.statics, err = start(ctx, g.o.Envoy, g.dir, processes...); err != nil {
		return nil, nil, nil, err
	}
	if len(g.statics) > 2 {
		inner = g.statics[2]
	}
	return g.statics[0], inner, g.statics[1], nil
}

// ebb is Ebb's subject as its processes are now.
func (g *generations) ebb() (ebb subject, err error) {
	ebb = subject{name: g.o.Ebb, address: g.bed.Gateway(), host: g.bed.URLHost(service)}
	components, err := g.bed.Components()
	if err != nil {
		return ebb, err
	}
	for _, c := range components {
		if !slices.Contains([]string{"gateway", "node", "control-plane"}, c.Name) {
			continue
		}
		tree, err := processes.Tree(c.PID)
		if err != nil {
			return ebb, err
		}
		for _, p := range tree {
			switch {
			case p.Name == "envoy":
				ebb.proxies = append(ebb.proxies, p.PID)
			case p.PID == c.PID:
				ebb.rest = append(ebb.rest, p.PID)
			}
		}
	}
	if g.bed.ReplicaProxy != inPods {
		return ebb, nil
	}
	sidecars, err := sidecarEnvoys()
	if err != nil {
		return ebb, err
	}
	sidecars = slices.DeleteFunc(sidecars, func(pid int) bool { return slices.Contains(g.staticPods, pid) })
	if len(sidecars) == 0 {
		return ebb, errors.New("no sidecar's Envoy is found among the processes of pods")
	}
	ebb.proxies = append(ebb.proxies, sidecars...)
	return ebb, nil
}

// sidecarEnvoys are the Envoys in pods: descendants of the container runtime's shims, which are children of init.
func sidecarEnvoys() ([]int, error) {
	tree, err := processes.Tree(1)
	if err != nil {
		return nil, err
	}
	inShim := map[int]bool{}
	var out []int
	for _, p := range tree {
		inShim[p.PID] = inShim[p.Parent] || p.Name == "containerd-shim-runc-v2"
		if inShim[p.PID] && p.Name == "envoy" {
			out = append(out, p.PID)
		}
	}
	return out, nil
}
