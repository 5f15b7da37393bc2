package cache

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"ebb.dev/ebb/xds/model"
)

// client is a proxy that says exactly what a test wants it to say.
type client struct {
	t      *testing.T
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	nodeID string
}

type adsServer struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	delta delta.Server
}

func (s *adsServer) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.delta.DeltaStreamHandler(stream, resource.AnyType)
}

// serve serves the cache as the control plane does and returns how to connect.
func serve(t *testing.T, c *Cache) func(nodeID string) *client {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, &adsServer{delta: delta.NewServer(ctx, c, c,
		delta.DeactivateLegacyWildcardForTypes([]string{resource.VirtualHostType}))})
	go server.Serve(listener)
	t.Cleanup(func() { cancel(); server.Stop() })
	return func(nodeID string) *client {
		conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return &client{t: t, stream: stream, nodeID: nodeID}
	}
}

func anyone(_ context.Context, node *corev3.Node, _ Type) (string, error) { return node.GetId(), nil }

func (c *client) send(request *discoveryv3.DeltaDiscoveryRequest) {
	c.t.Helper()
	if c.nodeID != "" {
		request.Node = &corev3.Node{Id: c.nodeID}
		c.nodeID = "" // only the first request says it
	}
	if err := c.stream.Send(request); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) receive() *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	response, err := c.stream.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	return response
}

func (c *client) ack(response *discoveryv3.DeltaDiscoveryResponse) {
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: response.TypeUrl, ResponseNonce: response.Nonce})
}

func (c *client) nack(response *discoveryv3.DeltaDiscoveryResponse, reason string) {
	c.send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: response.TypeUrl, ResponseNonce: response.Nonce, ErrorDetail: &status.Status{Code: 13, Message: reason},
	})
}

func names(response *discoveryv3.DeltaDiscoveryResponse) []string {
	var out []string
	for _, r := range response.Resources {
		out = append(out, r.Name)
	}
	slices.Sort(out)
	return out
}

func vhost(name, domain string) *Row {
	row, err := NewRow(name, model.Owner{Kind: "Ingress", Key: model.Key{Namespace: "default", Name: name}}, &routev3.VirtualHost{Name: name, Domains: []string{domain}})
	if err != nil {
		panic(err)
	}
	return row
}

func row(name string, message proto.Message) *Row {
	out, err := NewRow(name, model.Owner{}, message)
	if err != nil {
		panic(err)
	}
	return out
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestARefusedRowIsFoundAndTheOthersGoOn(t *testing.T) {
	c := New(anyone)
	refused := make(chan Refusal, 1)
	c.OnRefused = func(r Refusal) { refused <- r }
	connect := serve(t, c)
	p := c.Proxy("gateway/a/0")
	p.Apply(Change{Type: VirtualHosts, Put: []*Row{vhost("good-1", "a"), vhost("bad", "b"), vhost("good-2", "c")}})
	proxy := connect("gateway/a/0")
	proxy.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: VirtualHosts})
	first := proxy.receive()
	if got := names(first); len(got) != 3 {
		t.Fatalf("got %v", got)
	}
	proxy.nack(first, "something in here is wrong")
	tries := map[string]int{}
	for range 4 {
		alone := proxy.receive()
		got := names(alone)
		if len(got) != 1 {
			t.Fatalf("got %v, want one row alone", got)
		}
		tries[got[0]]++
		if got[0] == "bad" {
			proxy.nack(alone, "b is bad")
		} else {
			proxy.ack(alone)
		}
	}
	if diff := cmp.Diff(map[string]int{"good-1": 1, "good-2": 1, "bad": 2}, tries); diff != "" {
		t.Error(diff)
	}
	r := <-refused
	if r.Name != "bad" || r.Message != "b is bad" || r.Owner.Key.Name != "bad" {
		t.Fatalf("refusal %+v", r)
	}
	for _, name := range []string{"good-1", "good-2"} {
		if err := p.WaitCurrent(soon(t), VirtualHosts, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.WaitCurrent(soon(t), VirtualHosts, "bad"); err == nil {
		t.Error("the refused row counts as accepted")
	}
	// A new version of it is tried again.
	p.Apply(Change{Type: VirtualHosts, Put: []*Row{vhost("bad", "d")}})
	proxy.ack(proxy.receive())
	if err := p.WaitCurrent(soon(t), VirtualHosts, "bad"); err != nil {
		t.Error(err)
	}
}

func TestAReconnectingProxyIsSentOnlyWhatChanged(t *testing.T) {
	c := New(anyone)
	connect := serve(t, c)
	p := c.Proxy("gateway/a/0")
	same, changed := vhost("same", "a"), vhost("changed", "b")
	p.Apply(Change{Type: VirtualHosts, Put: []*Row{same, changed, vhost("new", "c")}})
	proxy := connect("gateway/a/0")
	proxy.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: VirtualHosts, InitialResourceVersions: map[string]string{
		"same": same.Version, "changed": "older", "gone": "x",
	}})
	response := proxy.receive()
	if got := names(response); !slices.Equal(got, []string{"changed", "new"}) {
		t.Errorf("got %v", got)
	}
	if len(response.RemovedResources) != 0 {
		t.Errorf("removed %v before anybody who knows the order asked for it", response.RemovedResources)
	}
	if !slices.Contains(p.Known(VirtualHosts), "gone") {
		t.Error("what the proxy brought is not known")
	}
	proxy.ack(response)
	p.Apply(Change{Type: VirtualHosts, Delete: []string{"gone"}})
	response = proxy.receive()
	if !slices.Equal(response.RemovedResources, []string{"gone"}) {
		t.Errorf("removed %v", response.RemovedResources)
	}
	proxy.ack(response)
	if err := p.WaitCurrent(soon(t), VirtualHosts, "gone"); err != nil {
		t.Error(err)
	}
}

func TestAChangedClusterGetsItsEndpointsOnceMore(t *testing.T) {
	c := New(anyone)
	connect := serve(t, c)
	p := c.Proxy("gateway/a/0")
	cluster := func(alt string) *Row { return row("c", &routev3.VirtualHost{Name: alt}) } // any message will do
	p.Apply(Change{Type: Clusters, Put: []*Row{cluster("1")}},
		Change{Type: Endpoints, Put: []*Row{row("c", &endpointv3.ClusterLoadAssignment{ClusterName: "c"})}})
	proxy := connect("gateway/a/0")
	proxy.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: Clusters})
	proxy.ack(proxy.receive())
	proxy.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: Endpoints, ResourceNamesSubscribe: []string{"c"}})
	proxy.ack(proxy.receive())
	p.Apply(Change{Type: Clusters, Put: []*Row{cluster("2")}})
	got := map[string]bool{}
	for range 2 {
		response := proxy.receive()
		got[response.TypeUrl] = true
		proxy.ack(response)
	}
	if !got[Clusters] || !got[Endpoints] {
		t.Errorf("got %v", got)
	}
	if err := p.WaitCurrent(soon(t), Endpoints, "c"); err != nil {
		t.Error(err)
	}
}

func TestAnOlderStreamCannotSpeakForTheProxyAnyMore(t *testing.T) {
	c := New(anyone)
	connect := serve(t, c)
	p := c.Proxy("gateway/a/0")
	p.Apply(Change{Type: VirtualHosts, Put: []*Row{vhost("v", "a")}})
	old := connect("gateway/a/0")
	old.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: VirtualHosts})
	stale := old.receive()
	young := connect("gateway/a/0")
	young.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: VirtualHosts})
	fresh := young.receive()
	old.ack(stale)
	if _, err := old.stream.Recv(); err == nil {
		t.Error("the older stream goes on")
	}
	if p.Current(VirtualHosts, "v") {
		t.Error("an ACK of the older stream counted")
	}
	young.ack(fresh)
	if err := p.WaitCurrent(soon(t), VirtualHosts, "v"); err != nil {
		t.Error(err)
	}
}

func TestANameThatDoesNotExistIsAnsweredAtOnce(t *testing.T) {
	c := New(anyone)
	proxy := serve(t, c)("gateway/a/0")
	proxy.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: Endpoints, ResourceNamesSubscribe: []string{"nobody"}})
	if response := proxy.receive(); !slices.Equal(response.RemovedResources, []string{"nobody"}) {
		t.Errorf("got %v", response)
	}
}
