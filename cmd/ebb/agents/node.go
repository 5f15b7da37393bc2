package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/cmd/ebb/agents/host"
	"ebb.dev/ebb/cmd/ebb/serve"
	"ebb.dev/ebb/deploy/envoy/bootstrap"
	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/build"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
)

// NodeOptions are those of `ebb node`.
type NodeOptions struct {
	host.Common
	// Name is the Node object's.
	Name string
	// Address is where the node's proxies listen; empty is the Node's internal address.
	Address string
	// Proxies is the number of Envoys, each with one worker.
	Proxies int
	// DrainListen is where preStop hooks ask, host:port; empty serves none.
	DrainListen string
	// Beside are further services of the node.
	Beside []func(context.Context) error
	// RuntimeSocket is the container runtime's CRI socket; empty has no early word of pods.
	RuntimeSocket string
	// Light runs the light node in this process, with these hooks.
	Light func(ctx context.Context, hooks Hooks) error
}

// Hooks connect a node that starts pods itself.
type Hooks struct {
	// Report passes on what the node knows of a pod first. It does not block.
	Report func(*agentpb.PodReport)
	// Drain returns when a pod that leaves is through, or the context ends.
	Drain func(ctx context.Context, namespace, name string) error
}

// Node runs a node's proxies until the context ends.
func Node(ctx context.Context, o NodeOptions) error {
	token, err := Token(o.TokenFile, o.Kubeconfig, identity.DefaultAccounts().Node, o.Name)
	if err != nil {
		return err
	}
	h, err := host.New(o.Common, "", token)
	if err != nil {
		return err
	}
	reports := host.NewReporter(h.Agent, o.Log)
	drain := func(ctx context.Context, request *agentpb.DrainRequest) error {
		_, err := agentpb.NewNodeClient(h.Agent.Conn()).Drain(ctx, request)
		return err
	}
	var proxies []host.Proxy
	for i := range o.Proxies {
		proxy, err := proxyOf(h, bootstrap.Replica, model.NodeProxyID(o.Name, i), 1)
		if err != nil {
			return err
		}
		proxies = append(proxies, proxy)
	}
	beside := append([]func(context.Context) error{reports.Run, o.announce}, o.Beside...)
	if o.DrainListen != "" {
		beside = append(beside, func(ctx context.Context) error { return serveDrain(ctx, o.DrainListen, drain) })
	}
	if o.RuntimeSocket != "" {
		beside = append(beside, func(ctx context.Context) error { return watchRuntime(ctx, o.RuntimeSocket, reports.Report, o.Log) })
	}
	if o.Light == nil {
		return h.Run(ctx, proxies, beside...)
	}
	// The light node makes the Node object that the identity is bound to: it cannot wait for the certificate.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		defer stop()
		ended <- o.Light(ctx, Hooks{Report: reports.Report, Drain: func(ctx context.Context, namespace, name string) error {
			return drain(ctx, &agentpb.DrainRequest{Namespace: namespace, Name: name})
		}})
	}()
	err = h.Run(ctx, proxies, beside...)
	stop()
	return errors.Join(err, <-ended)
}

// announce writes on the Node how many proxies it has and where they listen, as soon as there is a Node.
func (o NodeOptions) announce(ctx context.Context) error {
	kube, _, err := client(o.Kubeconfig)
	if err != nil {
		return err
	}
	annotations := map[string]string{build.NodeProxiesKey: strconv.Itoa(o.Proxies)}
	if o.Address != "" {
		annotations[build.NodeAddressKey] = o.Address
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return err
	}
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, 2*time.Second) {
		_, err := kube.CoreV1().Nodes().Patch(ctx, o.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		if err == nil || ctx.Err() != nil {
			return nil
		}
		o.Log.Warn("node not announced yet", "node", o.Name, "error", err)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// serveDrain answers preStop hooks: GET /drain?namespace=N&revision=R returns when the pods of the revision that are
// being deleted on this node are through. The kubelet waits for the answer before it stops the containers.
func serveDrain(ctx context.Context, address string, drain func(context.Context, *agentpb.DrainRequest) error) error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		request := &agentpb.DrainRequest{Namespace: query.Get("namespace"), Revision: query.Get("revision")}
		if within, err := time.ParseDuration(query.Get("within")); err == nil {
			request.Within = durationpb.New(within)
		}
		if err := drain(r.Context(), request); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	if err := serve.ListenHTTP(ctx, address, handler, serve.Options{}); err != nil {
		return fmt.Errorf("answer preStop hooks: %w", err)
	}
	return nil
}

// ServeImages is the machine's image registry: containerd asks it before any other.
func ServeImages(ctx context.Context, address string, registry http.Handler) error {
	if err := serve.ListenHTTP(ctx, address, registry, serve.Options{}); err != nil {
		return fmt.Errorf("be the image registry: %w", err)
	}
	return nil
}
