package cache

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// accepted waits for a row to be as it should be.
func accepted(t *testing.T, p *Proxy, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := p.WaitCurrent(soon(t), VirtualHosts, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARemovalBesideARefusedRowIsStillDone(t *testing.T) {
	c := New(anyone)
	connect := serve(t, c)
	p := c.Proxy("gateway/a/0")
	p.Apply(Change{Type: VirtualHosts, Put: []*Row{vhost("old", "a")}})
	proxy := connect("gateway/a/0")
	proxy.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: VirtualHosts})
	proxy.ack(proxy.receive())
	accepted(t, p, "old")
	p.Apply(Change{Type: VirtualHosts, Put: []*Row{vhost("bad", "b")}, Delete: []string{"old"}})
	both := proxy.receive()
	if len(both.Resources) != 1 || len(both.RemovedResources) != 1 {
		t.Fatalf("got %v, want both at once", both)
	}
	proxy.nack(both, "b is bad")
	removal := proxy.receive()
	if !slices.Equal(removal.RemovedResources, []string{"old"}) || len(removal.Resources) != 0 {
		t.Fatalf("got %v, want the removal on its own", removal)
	}
	if p.Current(VirtualHosts, "old") || p.Acked(VirtualHosts, "old") == "" {
		t.Error("the removal counts as done before it was accepted")
	}
	proxy.ack(removal)
	accepted(t, p, "old")
	for range most {
		proxy.nack(proxy.receive(), "b is bad")
	}
	var refusal Refusal
	if err := p.WaitCurrent(soon(t), VirtualHosts, "bad"); !errors.As(err, &refusal) {
		t.Errorf("got %v", err)
	}
}

func TestRowsThatClashWithEachOtherAreAllTakenInTheEnd(t *testing.T) {
	c := New(anyone)
	connect := serve(t, c)
	c.OnRefused = func(r Refusal) { t.Errorf("refused: %v", r) }
	p := c.Proxy("gateway/a/0")
	p.Apply(Change{Type: VirtualHosts, Put: []*Row{vhost("one", "1"), vhost("two", "2")}})
	proxy := connect("gateway/a/0")
	proxy.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: VirtualHosts})
	proxy.nack(proxy.receive(), "something")
	// One is taken only once two is there.
	for twoIsThere := false; ; {
		alone := proxy.receive()
		if names(alone)[0] == "one" && !twoIsThere {
			proxy.nack(alone, "not before two")
			continue
		}
		proxy.ack(alone)
		if names(alone)[0] == "one" {
			break
		}
		twoIsThere = true
	}
	accepted(t, p, "one", "two")
}

func TestARemovalThatIsRefusedIsNotTriedForEver(t *testing.T) {
	c := New(anyone)
	connect := serve(t, c)
	p := c.Proxy("gateway/a/0")
	p.Apply(Change{Type: VirtualHosts, Put: []*Row{vhost("old", "a")}})
	proxy := connect("gateway/a/0")
	proxy.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: VirtualHosts})
	proxy.ack(proxy.receive())
	accepted(t, p, "old")
	p.Apply(Change{Type: VirtualHosts, Delete: []string{"old"}})
	proxy.nack(proxy.receive(), "no")
	p.Apply(Change{Type: VirtualHosts, Put: []*Row{vhost("next", "b")}})
	if next := proxy.receive(); !slices.Equal(names(next), []string{"next"}) {
		t.Errorf("got %v", next)
	}
}

func TestAForgottenProxyBeginsAnew(t *testing.T) {
	c := New(anyone)
	now := time.Unix(1000, 0)
	c.Now = func() time.Time { return now }
	left := make(chan string, 1)
	c.OnDisconnect = func(id string) { left <- id }
	connect := serve(t, c)
	p := c.Proxy("gateway/a/0")
	p.Apply(Change{Type: VirtualHosts, Put: []*Row{vhost("v", "a")}})
	if since, away := p.Away(); !away || !since.Equal(now) {
		t.Errorf("away %t since %s", away, since)
	}
	proxy := connect("gateway/a/0")
	proxy.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: VirtualHosts})
	proxy.ack(proxy.receive())
	if c.Forget("gateway/a/0") {
		t.Fatal("a proxy that is connected was forgotten")
	}
	now = now.Add(time.Minute)
	if err := proxy.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if id := <-left; id != "gateway/a/0" {
		t.Errorf("%s left", id)
	}
	if since, away := p.Away(); !away || !since.Equal(now) {
		t.Errorf("away %t since %s", away, since)
	}
	if !c.Forget("gateway/a/0") || len(c.Proxies()) != 0 {
		t.Errorf("still known: %v", c.Proxies())
	}
	again := connect("gateway/a/0")
	again.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: VirtualHosts})
	if first := again.receive(); len(first.Resources) != 0 {
		t.Errorf("got %v, want nothing of before", first)
	}
	if c.Proxy("gateway/a/0") == p || len(c.Proxy("gateway/a/0").Known(VirtualHosts)) != 0 {
		t.Error("the old rows are still there")
	}
}

func TestWhatAProxyHasIsUnknownBeforeItAsked(t *testing.T) {
	c := New(anyone)
	connect := serve(t, c)
	p := c.Proxy("gateway/a/0")
	proxy := connect("gateway/a/0")
	proxy.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: Clusters})
	proxy.ack(proxy.receive())
	if p.Asked(VirtualHosts) || p.Current(VirtualHosts, "never") {
		t.Error("its virtual hosts count as known")
	}
	proxy.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: VirtualHosts})
	proxy.ack(proxy.receive())
	accepted(t, p, "never")
	if !p.Asked(VirtualHosts) {
		t.Error("it has asked")
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	c := New(anyone)
	p := c.Proxy("gateway/a/0")
	p.Apply(Change{Type: VirtualHosts, Put: []*Row{vhost("v", "a")}})
	because := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(because)
	if err := p.WaitCurrent(ctx, VirtualHosts, "v"); !errors.Is(err, because) {
		t.Errorf("got %v", err)
	}
}

func TestDebugPagesShowEachRowsWay(t *testing.T) {
	c := New(anyone)
	connect := serve(t, c)
	p := c.Proxy("gateway/a/0")
	row := vhost("v", "a")
	p.Apply(Change{Type: VirtualHosts, Put: []*Row{row}})
	proxy := connect("gateway/a/0")
	proxy.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: VirtualHosts, InitialResourceVersions: map[string]string{"gone": "1"}})
	proxy.ack(proxy.receive())
	accepted(t, p, "v")
	var hosts State
	for _, state := range p.Describe() {
		if state.Type == VirtualHosts {
			hosts = state
		}
	}
	want := []RowState{
		{Name: "gone", Sent: "1", Acked: "1"},
		{Name: "v", Owner: "Ingress default/v", Want: row.Version, Sent: row.Version, Acked: row.Version},
	}
	if !slices.Equal(hosts.Rows, want) || !hosts.Open {
		t.Errorf("got %+v", hosts)
	}
}
