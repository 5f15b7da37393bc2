package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"ebb.dev/ebb/cmd/ebb/broker"
	"ebb.dev/ebb/deploy/envoy/runner"
	"ebb.dev/ebb/deploy/local/platform"
	"ebb.dev/ebb/deploy/local/process"
)

// What Ebb's processes of one machine agree on.
const (
	localTrustDomain = "cluster.local"
	localDomain      = "localhost"
	// drainPort is where preStop hooks ask, on the pods' bridge.
	drainPort = 15020
	// sidecarPort is where sidecars reach the control plane, on the pods' bridge.
	sidecarPort = 15010
	// internalPort is where pods reach the internal gateway, on the pods' bridge.
	internalPort = 80
	// eventsPort is where gateways reach the event broker, on the pods' bridge.
	eventsPort = 15030
)

func init() { localComponents = ebbComponents }

// ebbComponents are the control plane, one gateway, the node's proxies and, where pods have a network, the event broker.
func ebbComponents(e platform.Environment, c choices) []platform.Component {
	l := local{Environment: e, choices: c}
	out := []platform.Component{l.controlPlane(), l.gateway(), l.node()}
	if l.BridgeAddress != "" {
		out = append(out, l.broker())
	}
	return out
}

type local struct {
	platform.Environment
	choices
}

func (l local) socket(name string) string { return filepath.Join(l.Run, name+".sock") }

func (l local) controlPlaneAddress() string { return "unix:" + l.socket("xds") }

func (l local) trustFile() string { return filepath.Join(l.State, "trust.pem") }

func (l local) images() string { return filepath.Join(l.State, "images") }

// internalHost resolves, for pods, to the gateway's address on their bridge.
func (l local) internalHost() string { return "ebb-gateway-internal.ebb-system.svc." + l.ClusterDomain }

func (l local) controlPlane() platform.Component {
	args := []string{
		"control-plane", "--kubeconfig", l.ControlPlaneKubeconfig, "--listen", l.controlPlaneAddress(), "--envoy", l.Envoy,
		"--trust-domain", localTrustDomain, "--ca-file", filepath.Join(l.State, "ca.pem"), "--trust-file", l.trustFile(),
		"--external-port", strconv.Itoa(l.HTTPPort), "--domain", localDomain, "--cluster-domain", l.ClusterDomain,
		"--replica-proxy", l.replicaProxy, "--debug-listen", "unix:" + l.socket("debug"), "--images", l.images(),
		"--internal-host", l.internalHost(), "--runtime-socket", l.RuntimeSocket,
	}
	if l.HTTPSocket != "" {
		args = append(args, "--external=", "--external-pipe", l.HTTPSocket)
	} else {
		args = append(args, "--external", loopbacks(l.HTTPPort))
	}
	if l.BridgeAddress != "" {
		sidecars := net.JoinHostPort(l.BridgeAddress, strconv.Itoa(sidecarPort))
		args = append(args, "--listen", sidecars, "--sidecar-control-plane", sidecars,
			"--internal", net.JoinHostPort(l.BridgeAddress, strconv.Itoa(internalPort)), "--internal-address", l.BridgeAddress,
			"--drain-address", net.JoinHostPort(l.BridgeAddress, strconv.Itoa(drainPort)))
	} else {
		args = append(args, "--internal=")
	}
	if l.EgressSocket != "" {
		args = append(args, "--egress-socket", l.EgressSocket)
	}
	return platform.Component{
		Title: "control plane", WaitsFor: "its kinds to be served and the world to be read",
		Spec: process.Spec{Name: "control-plane", Path: l.Ebb, Args: args, Env: memory, Ready: ok(l.socket("debug"), "/readyz")},
	}
}

// memory keeps small processes small: their heaps are a few megabytes, the collector's default floor is four.
var memory = []string{"GOGC=50"}

func loopbacks(port int) string {
	addresses := fmt.Sprintf("127.0.0.1:%d", port)
	if listener, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		listener.Close()
		addresses += fmt.Sprintf(",[::1]:%d", port)
	}
	return addresses
}

// agent are the flags of every agent of this machine.
func (l local) agent(dir string) []string {
	return []string{
		"--control-plane", l.controlPlaneAddress(), "--trust-domain", localTrustDomain, "--trust-file", l.trustFile(),
		"--kubeconfig", l.NodeAgentKubeconfig, "--dir", filepath.Join(l.Run, dir), "--envoy", l.Envoy,
	}
}

func (l local) gateway() platform.Component {
	admin := filepath.Join(l.Run, "gw", "envoy-0.sock")
	return platform.Component{
		Title: "envoy gateway", WaitsFor: "its listeners",
		Spec: process.Spec{
			Name: "gateway", Path: l.Ebb, Args: append([]string{"gateway", "--name", "local", "--instance", "0"}, l.agent("gw")...), Env: memory,
			Address: fmt.Sprintf("http://localhost:%d", l.HTTPPort), Ready: ok(admin, "/ready"), StopTimeout: 10 * time.Second,
		},
	}
}

func (l local) node() platform.Component {
	args := append([]string{"node", "--name", l.NodeName, "--images", l.images(), "--registry-listen", l.RegistryAddress}, l.agent("node")...)
	title := "node proxies"
	if l.BridgeAddress != "" {
		args = append(args, "--address", l.BridgeAddress, "--drain-listen", net.JoinHostPort(l.BridgeAddress, strconv.Itoa(drainPort)))
	} else {
		args = append(args, "--address", "127.0.0.1")
	}
	if l.RuntimeSocket != "" {
		args = append(args, "--runtime-socket", l.RuntimeSocket)
	}
	if l.NodeKind == platform.NodeLight {
		title = "node (light)"
		args = append(args, l.light()...)
	}
	return platform.Component{
		Title: title, WaitsFor: "its proxies",
		Spec: process.Spec{
			Name: "node", Path: l.Ebb, Args: args, Env: memory, Ready: ok(filepath.Join(l.Run, "node", "envoy-0.sock"), "/ready"),
			StopTimeout: 10 * time.Second,
		},
	}
}

func (l local) broker() platform.Component {
	args := []string{
		"broker", "--kubeconfig", l.BrokerKubeconfig, "--dir", filepath.Join(l.State, "events"),
		"--listen", net.JoinHostPort(l.BridgeAddress, strconv.Itoa(eventsPort)), "--advertise", l.BridgeAddress,
		"--gateway", net.JoinHostPort(l.BridgeAddress, strconv.Itoa(internalPort)), "--gateway-host", l.internalHost(),
		"--cluster-domain", l.ClusterDomain, "--domain", localDomain, "--debug-listen", "unix:" + l.socket("events"),
		"--control-plane", l.controlPlaneAddress(), "--trust-domain", localTrustDomain, "--trust-file", l.trustFile(),
	}
	if l.events == relaxedEvents {
		args = append(args, "--relaxed")
	}
	return platform.Component{
		Title: "event broker", WaitsFor: "its log and the world to be read",
		Spec: process.Spec{
			Name: "broker", Path: l.Ebb, Args: args, Env: slices.Concat(memory, broker.Environment), Ready: ok(l.socket("events"), "/readyz"),
			StopTimeout: 10 * time.Second,
		},
	}
}

// light are the flags of a node that stands in for a kubelet.
func (l local) light() []string {
	args := []string{"--light", "--light-dir", filepath.Join(l.State, "light"), "--cluster-domain", l.ClusterDomain}
	for flag, value := range map[string]string{
		"--pod-cidr": l.PodCIDR, "--nameserver": l.DNSAddress, "--egress-socket": l.EgressSocket,
		"--cert-file": l.NodeCertFile, "--key-file": l.NodeKeyFile, "--client-ca-file": l.CAFile,
	} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	if server, err := url.Parse(l.Server); err == nil && l.BridgeAddress == "" {
		args = append(args, "--api-server", server.Host)
	}
	return args
}

// ok is ready when a page on a unix socket says 200.
func ok(socket, path string) func(context.Context) error {
	client := runner.Admin(socket)
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://local"+path, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s says %s", path, response.Status)
		}
		return nil
	}
}
