package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"ebb.dev/ebb/cmd/ebb/agents/host"
	"ebb.dev/ebb/cmd/ebb/serve"
	"ebb.dev/ebb/deploy/envoy/runner"
	"ebb.dev/ebb/xds/agent"
	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/model"
)

// Options are those of `ebb sidecar`: the pod that it is in.
type Options struct {
	host.Common
	// Namespace, Pod, UID and IP are the pod's, by the downward API.
	Namespace, Pod, UID, IP string
	// Bootstrap is the file that its Envoy starts with, as the control plane wrote it: this program knows nothing of Envoy's configuration.
	Bootstrap string
	// Listen is where the kubelet asks: readiness and preStop, host:port.
	Listen string
	// AppPort is where the app is going to listen; 0 says nothing of it.
	AppPort uint16
}

// Run runs a replica's own proxy until the context ends.
func Run(ctx context.Context, o Options) error {
	switch {
	case o.Namespace == "" || o.Pod == "" || o.UID == "" || o.IP == "":
		return errors.New("a sidecar must know its pod: give --namespace, --pod, --uid and --ip, or set POD_NAMESPACE, POD_NAME, POD_UID and POD_IP by the downward API")
	case o.TokenFile == "":
		return errors.New("a sidecar proves who it is by its pod's token: give --token-file, a projected service account token")
	case o.Bootstrap == "":
		return errors.New("a sidecar's Envoy starts with what the control plane wrote: give --bootstrap, its key of the ConfigMap ebb-trust")
	}
	h, err := host.New(o.Common, "", agent.TokenFile(o.TokenFile))
	if err != nil {
		return err
	}
	time.AfterFunc(startTime, smallHeap)
	// The pod's start waits for both: Envoy takes as long to start as the certificate to come.
	h.Early = true
	reports := host.NewReporter(h.Agent, o.Log)
	reports.Report(o.word(agentpb.PodReport_STARTING))
	id := model.SidecarID(model.Key{Namespace: o.Namespace, Name: o.Pod})
	p := &page{
		admin: runner.Admin(host.AdminSocket(o.Dir, id)), node: agentpb.NewNodeClient(h.Agent.Conn()),
		pod: &agentpb.DrainRequest{Namespace: o.Namespace, Name: o.Pod},
	}
	return h.Run(ctx, []host.Proxy{{ID: id, Workers: 1, Bootstrap: o.Bootstrap}}, reports.Run,
		func(ctx context.Context) error { return p.serve(ctx, o.Listen) },
		func(ctx context.Context) error { return o.sayWhenListening(ctx, reports.Report) })
}

// word is what the sidecar says of its pod.
func (o Options) word(state agentpb.PodReport_State) *agentpb.PodReport {
	return &agentpb.PodReport{Namespace: o.Namespace, Name: o.Pod, Uid: o.UID, Ip: o.IP, State: state, At: timestamppb.Now()}
}

// startTime is how long nothing is collected, and leftPercent the heap that garbage may add from then on: what the agent holds is a certificate.
const (
	startTime   = 10 * time.Second
	leftPercent = 50
)

// smallHeap ends what GOGC=off began: a collection while the app starts beside it takes the processor from the app.
func smallHeap() {
	debug.SetGCPercent(leftPercent)
	debug.FreeOSMemory()
}

// page is what the kubelet asks a sidecar: GET /ready, and GET /drain from the preStop hooks of the containers beside it.
type page struct {
	admin *http.Client
	node  agentpb.NodeClient
	pod   *agentpb.DrainRequest
}

func (p *page) serve(ctx context.Context, address string) error {
	if err := serve.ListenHTTP(ctx, address, p.handler(), serve.Options{}); err != nil {
		return fmt.Errorf("answer the kubelet: %w", err)
	}
	return nil
}

func (p *page) handler() http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) { answer(w, p.ready(r.Context())) })
	mux.HandleFunc("GET /drain", func(w http.ResponseWriter, r *http.Request) {
		within, err := time.ParseDuration(r.URL.Query().Get("within"))
		if err != nil {
			within = 0
		}
		answer(w, p.drain(r.Context(), within))
	})
	return mux
}

var errNoListener = errors.New("no listener for the replica yet")

// ready reports whether Envoy takes requests for the replica: that it lives is not enough, it must have been given its listener.
func (p *page) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy/listeners?format=json", nil)
	if err != nil {
		return err
	}
	response, err := p.admin.Do(request)
	if err != nil {
		return fmt.Errorf("ask envoy: %w", err)
	}
	defer response.Body.Close()
	var listeners struct {
		Statuses []struct{} `json:"listener_statuses"`
	}
	if err := json.NewDecoder(response.Body).Decode(&listeners); err != nil {
		return fmt.Errorf("read envoy's listeners: %w", err)
	}
	if len(listeners.Statuses) == 0 {
		return errNoListener
	}
	return nil
}

// reachWithin bounds the wait for a control plane: without one the pod cannot be taken out of service, and must end all the same.
const reachWithin = 5 * time.Second

// drain returns when the pod, which is being deleted, gets no request any more and has answered those it had. The control plane looks
// whether it is being deleted: who else asks changes nothing.
func (p *page) drain(ctx context.Context, within time.Duration) error {
	request := &agentpb.DrainRequest{Namespace: p.pod.GetNamespace(), Name: p.pod.GetName()}
	bound := reachWithin
	if within > 0 {
		request.Within = durationpb.New(within)
		bound = within + reachWithin
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	if _, err := p.node.Drain(ctx, request, grpc.WaitForReady(true)); err != nil {
		return fmt.Errorf("take the pod out of service: %w", err)
	}
	return nil
}
