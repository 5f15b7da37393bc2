package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ebb.dev/ebb/autoscale/decide"
	"ebb.dev/ebb/autoscale/scale"
	"ebb.dev/ebb/autoscale/signal"
	"ebb.dev/ebb/crds/autoscaling"
	"ebb.dev/ebb/test/apiserver"
	"ebb.dev/ebb/test/mesh"
	"ebb.dev/ebb/xds"
	"ebb.dev/ebb/xds/agent"
	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/store"
)

const workerHost = "worker.default.svc.cluster.local"

func named(name string) model.Key { return model.Key{Namespace: "default", Name: name} }

// routed is a store where a host's requests are split, first by a header and then by percent.
func routed(splits ...model.Split) *store.Store {
	s := store.New()
	s.Write(func(tx *store.Tx) {
		owner := model.Owner{Kind: "KIngress", Key: named("worker")}
		tx.SetVHosts(owner, []*model.VHost{{
			Name: model.VHostName(model.Internal, workerHost), Config: model.Internal, Owner: owner, Domains: []string{workerHost},
			Routes: []model.Route{
				{PathPrefix: "/", Headers: []model.Header{{Name: "Knative-Serving-Tag", Value: "next"}}, Splits: []model.Split{{Revision: named("next"), Weight: 100}}},
				{PathPrefix: "/", Splits: splits},
			},
		}})
	})
	return s
}

func TestABacklogIsSharedAsRequestsAre(t *testing.T) {
	s := routed(model.Split{Revision: named("v1"), Weight: 80}, model.Split{Revision: named("v2"), Weight: 20}, model.Split{Revision: named("v0")})
	got := share(s.Read(), []*agentpb.Backlog{
		{Host: workerHost, Waiting: 1000, AtOnce: 100, Due: 50, PerSecond: 10},
		{Host: "somebody.example.org", Waiting: 5},
	})
	want := map[scale.Revision]decide.Backlog{
		{Namespace: "default", Name: "v1"}: {Waiting: 800, AtOnce: 80, Due: 40, PerSecond: 8},
		{Namespace: "default", Name: "v2"}: {Waiting: 200, AtOnce: 20, Due: 10, PerSecond: 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// served is a control plane's port, and what its autoscaler hears.
type served struct {
	*testing.T
	scaling        *scaling
	address, roots string
}

func serveBacklogs(t *testing.T) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	ca, err := identity.OpenCA(ctx, "cluster.local", &mesh.Memory{}, time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{T: t, roots: filepath.Join(t.TempDir(), "roots.pem"), scaling: &scaling{signal: signal.New(time.Now(), 0), now: time.Now}}
	s.scaling.engine = scale.New(scale.Config{Demand: s.scaling.signal, Autoscaler: autoscaling.DefaultConfig(), Logger: log})
	known := identity.DefaultAccounts()
	plane := xds.New(ctx, xds.Options{
		TrustDomain: "cluster.local", CA: ca, Accounts: known, Reviewer: mesh.Tokens{"broker": {Account: known.Broker}, "gateway": {Account: known.Gateway}},
		Autoscaler: s.scaling, Hold: hold.DefaultSettings(), Node: &node{}, Log: log,
		Backlogs: &backlogs{trustDomain: "cluster.local", scaling: s.scaling},
	})
	s.scaling.store = routed(model.Split{Revision: named("v1"), Weight: 100})
	mesh.WriteRoots(t, ca, s.roots)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	done := make(chan error, 1)
	go func() { done <- plane.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// open opens the stream as the bearer of a token.
func (s *served) open(ctx context.Context, token string) agentpb.Autoscaler_BacklogsClient {
	s.Helper()
	a := mesh.Agent(s, agent.Options{
		ControlPlane: s.address, TrustDomain: "cluster.local", TrustFile: s.roots, Name: "main", Log: slog.New(slog.DiscardHandler),
	}, token)
	<-a.Ready()
	stream, err := agentpb.NewAutoscalerClient(a.Conn()).Backlogs(ctx)
	if err != nil {
		s.Fatal(err)
	}
	return stream
}

// hears waits until so many events wait for the revision, as far as the autoscaler knows.
func (s *served) hears(waiting float64) {
	s.Helper()
	apiserver.Eventually(s, fmt.Sprintf("%v events wait", waiting), func(context.Context) bool {
		spec := signal.Spec{Stable: time.Minute, Panic: 6 * time.Second}
		return s.scaling.signal.Window(revisionOf(named("v1")), spec, time.Now()).Backlog.Waiting == waiting
	})
}

func TestTheAutoscalerHearsABrokerUntilItLeaves(t *testing.T) {
	s := serveBacklogs(t)
	ctx, leave := context.WithCancel(t.Context())
	stream := s.open(ctx, "broker")
	if err := stream.Send(&agentpb.BacklogReport{Backlogs: []*agentpb.Backlog{{Host: workerHost, Waiting: 7, AtOnce: 7}}}); err != nil {
		t.Fatal(err)
	}
	s.hears(7)
	if err := stream.Send(&agentpb.BacklogReport{}); err != nil {
		t.Fatal(err)
	}
	s.hears(0)
	if err := stream.Send(&agentpb.BacklogReport{Backlogs: []*agentpb.Backlog{{Host: workerHost, Waiting: 9, AtOnce: 7}}}); err != nil {
		t.Fatal(err)
	}
	s.hears(9)
	leave()
	s.hears(0)
}

func TestOnlyAnEventBrokerTellsWhatWaits(t *testing.T) {
	s := serveBacklogs(t)
	stream := s.open(t.Context(), "gateway")
	_ = stream.Send(&agentpb.BacklogReport{Backlogs: []*agentpb.Backlog{{Host: workerHost, Waiting: 1e6, AtOnce: 1e6, Due: 1e6}}})
	if err := stream.RecvMsg(&agentpb.BacklogSummary{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a gateway may tell: %v", err)
	}
}
