package server

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	healthv3 "github.com/envoyproxy/go-control-plane/envoy/service/health/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

// Health finds out when replicas answer, through the Envoys beside them (HDS). Only replicas that are not ready yet are
// asked for; afterwards the pod's own Ready speaks.
type Health struct {
	healthv3.UnimplementedHealthDiscoveryServiceServer
	trustDomain string
	store       *store.Store
	now         func() time.Time
	log         *slog.Logger
	// OnAnswer is told the first healthy report of a replica, before the store is.
	OnAnswer func(pod model.Key)

	mu      sync.Mutex
	proxies map[string]chan struct{}
}

// NewHealth makes the service and subscribes it to the store.
func NewHealth(trustDomain string, s *store.Store, now func() time.Time, log *slog.Logger) *Health {
	h := &Health{trustDomain: trustDomain, store: s, now: now, log: log, proxies: map[string]chan struct{}{}}
	s.Subscribe(h.changed)
	return h
}

// changed pokes the streams of the proxies whose replicas changed.
func (h *Health) changed(touched *store.Touched) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range touched.Proxies {
		if poke, ok := h.proxies[id]; ok {
			select {
			case poke <- struct{}{}:
			default:
			}
		}
	}
}

// StreamHealthCheck is one proxy's stream.
func (h *Health) StreamHealthCheck(stream healthv3.HealthDiscoveryService_StreamHealthCheckServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	id, err := proxyOf(stream.Context(), h.trustDomain, first.GetHealthCheckRequest().GetNode().GetId())
	if err != nil {
		return err
	}
	poke := make(chan struct{}, 1)
	h.mu.Lock()
	h.proxies[id] = poke
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		if h.proxies[id] == poke {
			delete(h.proxies, id)
		}
		h.mu.Unlock()
	}()
	ctx, cancel := context.WithCancel(stream.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.specify(ctx, id, stream, poke)
	}()
	// Nothing may be sent once this has returned.
	defer func() { cancel(); <-ended }()
	for {
		report, err := stream.Recv()
		if err != nil {
			return err
		}
		// A message with neither field set happens.
		if response := report.GetEndpointHealthResponse(); response != nil {
			h.take(id, response)
		}
	}
}

// FetchHealthCheck is not served.
func (h *Health) FetchHealthCheck(context.Context, *healthv3.HealthCheckRequestOrEndpointHealthResponse) (*healthv3.HealthCheckSpecifier, error) {
	return nil, status.Error(codes.Unimplemented, "health checks are streamed")
}

// specify keeps the proxy's specifier up to date.
func (h *Health) specify(ctx context.Context, id string, stream healthv3.HealthDiscoveryService_StreamHealthCheckServer, poke <-chan struct{}) {
	var sent *healthv3.HealthCheckSpecifier
	began := beginnings{}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		starting, next := began.starting(h.store.Read().ReplicasAt(id), h.now())
		specifier := envoy.HealthSpecifier(starting)
		if sent == nil || !proto.Equal(sent, specifier) {
			if err := stream.Send(specifier); err != nil {
				return
			}
			sent = specifier
		}
		timer.Reset(next)
		select {
		case <-poke:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// beginnings are since when replicas start.
type beginnings map[model.Key]time.Time

// starting lists the replicas of which something is still to be found out, and when to look again: an initial delay ends, or a replica has taken
// so long that it is asked less often.
func (b beginnings) starting(replicas []*store.Replica, now time.Time) ([]envoy.Starting, time.Duration) {
	var out []envoy.Starting
	next, running := time.Hour, 0
	before := maps.Clone(b)
	clear(b)
	for _, replica := range replicas {
		if !replica.Starting() || replica.App.Host == "" {
			continue
		}
		ask, after := replica.AskApp()
		if wait := after.Sub(now); ask && wait > 0 {
			next = min(next, wait)
		}
		ask = ask && !after.IsZero() && !now.Before(after)
		if !ask && replica.Listening {
			continue
		}
		runs := !replica.Started.IsZero()
		if runs {
			running++
		}
		out = append(out, envoy.Starting{Replica: replica.Replica, Answers: !ask, Listening: replica.Listening, Runs: runs})
		since, known := before[replica.Pod]
		if !known {
			since = now
		}
		// What took time before, such as its image, is not the app's.
		if replica.Started.After(since) {
			since = replica.Started
		}
		b[replica.Pod] = since
	}
	for i := range out {
		ago, n, least := now.Sub(b[out[i].Pod]), running, time.Duration(0)
		if !out[i].Runs {
			n, least = len(out), envoy.IdleCheck
		}
		every, until := envoy.CheckInterval(n, ago)
		out[i].Every = max(every, least)
		if every < envoy.SlowCheck {
			next = min(next, until-ago)
		}
	}
	return out, next
}

// take reads a report.
func (h *Health) take(id string, response *healthv3.EndpointHealthResponse) {
	var answering, listening []model.Key
	view := h.store.Read()
	for _, cluster := range response.GetClusterEndpointsHealth() {
		if !healthy(cluster) {
			continue
		}
		// A proxy speaks for its own replicas only, and once.
		if pod, err := model.ParseAppClusterName(cluster.GetClusterName()); err == nil {
			if r, ok := view.Replica(pod); ok && r.Proxy == id && !r.Answers {
				answering = append(answering, pod)
			}
		} else if pod, err := model.ParseReplicaName(cluster.GetClusterName()); err == nil {
			if r, ok := view.Replica(pod); ok && r.Proxy == id && !r.Listening {
				listening = append(listening, pod)
			}
		}
	}
	if len(answering)+len(listening) == 0 {
		return
	}
	if h.OnAnswer != nil {
		for _, pod := range answering {
			h.OnAnswer(pod)
		}
	}
	h.store.Write(func(tx *store.Tx) {
		for _, pod := range answering {
			tx.ChangeReplica(pod, func(replica *store.Replica) { replica.Answers = true })
		}
		for _, pod := range listening {
			tx.ChangeReplica(pod, func(replica *store.Replica) { replica.Listening = true })
		}
	})
}

func healthy(cluster *healthv3.ClusterEndpointsHealth) bool {
	n := 0
	for _, locality := range cluster.GetLocalityEndpointsHealth() {
		for _, endpoint := range locality.GetEndpointsHealth() {
			if endpoint.GetHealthStatus() != corev3.HealthStatus_HEALTHY {
				return false
			}
			n++
		}
	}
	return n > 0
}
