package hold

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"ebb.dev/ebb/xds/model"
)

var shop = model.Key{Namespace: "default", Name: "shop-v1"}

// bench is a hold whose surroundings a test sets.
type bench struct {
	mu        sync.Mutex
	ready     map[string]int // by gateway|cluster
	vhosts    map[string]*model.VHost
	revisions map[model.Key]Revision
	load      Load
	held      []int
	refreshed int
	hold      *Hold
}

func (b *bench) Ready(gateway, cluster string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready[gateway+"|"+cluster]
}
func (b *bench) Prime(string, string, time.Time) {}
func (b *bench) Refresh(model.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refreshed++
}
func (b *bench) VHost(config model.RouteConfig, domain string) (*model.VHost, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok := b.vhosts[string(config)+"/"+domain]
	return v, ok
}
func (b *bench) Revision(key model.Key) (Revision, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.revisions[key]
	return r, ok
}
func (b *bench) Load(model.Key) Load {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.load
}
func (b *bench) Held(_ model.Key, held int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = append(b.held, held)
}

func (b *bench) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

const cluster = "cluster|default/shop-v1|http1"

func newBench(settings ...func(*Settings)) *bench {
	b := &bench{
		ready:     map[string]int{},
		revisions: map[model.Key]Revision{shop: {Cluster: cluster}},
		vhosts: map[string]*model.VHost{"external/shop.localhost": {Name: "external/shop.localhost", Routes: []model.Route{{
			PathPrefix: "/", Splits: []model.Split{{Cluster: cluster, Revision: shop, Weight: 100}},
		}}}},
	}
	s := DefaultSettings()
	s.Log = slog.New(slog.DiscardHandler)
	for _, f := range settings {
		f(&s)
	}
	b.hold = New(s, b, b, b)
	return b
}

func request(gateway, id string) Request {
	return Request{Gateway: gateway, ID: id, Config: model.External, Host: "shop.localhost:8080", Path: "/", Header: func(string) string { return "" }}
}

// ask checks in the background and returns where the verdict comes.
func (b *bench) ask(ctx context.Context, r Request) <-chan Verdict {
	out := make(chan Verdict, 1)
	go func() { out <- b.hold.Check(ctx, r) }()
	return out
}

func (b *bench) waitHeld(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); b.hold.Held(shop) != n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d held, want %d", b.hold.Held(shop), n)
		}
		time.Sleep(time.Millisecond)
	}
}

func verdict(t *testing.T, from <-chan Verdict) Verdict {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(5 * time.Second):
		t.Fatal("no verdict")
		return Verdict{}
	}
}

func TestAHostThatNobodyHasIsNotFoundAtOnce(t *testing.T) {
	b := newBench()
	r := request("g", "1")
	r.Host = "nobody.localhost"
	if v := verdict(t, b.ask(t.Context(), r)); v.Code != NotFound || !strings.Contains(v.Reason, "nobody.localhost") {
		t.Errorf("got %+v", v)
	}
}

func TestARequestIsLetGoOnlyWhereItsGatewayReachesAReplica(t *testing.T) {
	b := newBench()
	far, near := b.ask(t.Context(), request("far", "1")), b.ask(t.Context(), request("near", "2"))
	b.waitHeld(t, 2)
	b.set(func() { b.ready["near|"+cluster] = 1 })
	b.hold.Ready("near", cluster)
	if v := verdict(t, near); v.Code != Go || v.Choice.Cluster != cluster {
		t.Errorf("got %+v", v)
	}
	if b.hold.Held(shop) != 1 {
		t.Error("the other gateway's request was let go too")
	}
	b.set(func() { b.ready["far|"+cluster] = 1 })
	b.hold.Ready("far", cluster)
	if v := verdict(t, far); v.Code != Go {
		t.Errorf("got %+v", v)
	}
}

func TestNothingIsLetGoWhileARevisionIsClosed(t *testing.T) {
	told := make(chan model.Key, 10)
	b := newBench(func(s *Settings) { s.OnLetGo = func(revision model.Key) { told <- revision } })
	b.ready["g|"+cluster] = 1
	b.hold.Close(shop)
	asked := b.ask(t.Context(), request("g", "1"))
	b.waitHeld(t, 1)
	b.hold.Ready("g", cluster)
	if b.hold.Held(shop) != 1 || len(told) != 0 {
		t.Error("let go although its replicas are about to go")
	}
	b.hold.Open(shop)
	if v := verdict(t, asked); v.Code != Go {
		t.Errorf("got %+v", v)
	}
	if len(told) != 1 || <-told != shop {
		t.Error("nobody was told of what was let go")
	}
}

func TestNoMoreAreLetGoThanThereAreFreeSlotsOldestFirst(t *testing.T) {
	b := newBench()
	b.load = Load{Concurrency: 2, Queue: 10, Coming: true}
	var asked []<-chan Verdict
	for i := range 5 {
		asked = append(asked, b.ask(t.Context(), request("g", fmt.Sprint(i))))
		b.waitHeld(t, i+1)
	}
	b.set(func() { b.ready["g|"+cluster] = 1 })
	b.hold.Ready("g", cluster)
	for i := range 2 {
		if v := verdict(t, asked[i]); v.Code != Go || !v.Counted {
			t.Fatalf("request %d: %+v", i, v)
		}
	}
	b.waitHeld(t, 3)
	// One ends: the next oldest follows.
	b.hold.Done("g", shop)
	if v := verdict(t, asked[2]); v.Code != Go {
		t.Fatalf("got %+v", v)
	}
	b.waitHeld(t, 2)
	// No more replicas are coming: their own queues take the rest.
	b.set(func() { b.load.Coming = false })
	b.hold.Release(shop)
	verdict(t, asked[3])
	verdict(t, asked[4])
}

func TestAGatewayThatIsLostGivesItsSlotsBack(t *testing.T) {
	b := newBench()
	b.load = Load{Concurrency: 1, Coming: true}
	b.set(func() { b.ready["g|"+cluster] = 1; b.ready["h|"+cluster] = 1 })
	if v := verdict(t, b.ask(t.Context(), request("g", "1"))); v.Code != Go {
		t.Fatalf("got %+v", v)
	}
	waiting := b.ask(t.Context(), request("h", "2"))
	b.waitHeld(t, 1)
	b.hold.Lost("g")
	if v := verdict(t, waiting); v.Code != Go {
		t.Errorf("got %+v", v)
	}
}

func TestACheckThatMovesKeepsItsPlace(t *testing.T) {
	b := newBench(func(s *Settings) { s.Linger = 5 * time.Second })
	b.load = Load{Concurrency: 1, Coming: true}
	ctx, cancel := context.WithCancel(t.Context())
	first := b.ask(ctx, request("g", "first"))
	b.waitHeld(t, 1)
	second := b.ask(t.Context(), request("g", "second"))
	b.waitHeld(t, 2)
	cancel()
	if v := verdict(t, first); v.Code != Gone {
		t.Fatalf("got %+v", v)
	}
	again := b.ask(t.Context(), request("g", "first"))
	for deadline := time.Now().Add(5 * time.Second); b.leavers() != 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	b.set(func() { b.ready["g|"+cluster] = 1 })
	b.hold.Ready("g", cluster)
	if v := verdict(t, again); v.Code != Go {
		t.Fatalf("got %+v", v)
	}
	if len(second) != 0 {
		t.Error("the younger request overtook it")
	}
}

// leavers counts entries whose check was cancelled.
func (b *bench) leavers() int {
	b.hold.mu.Lock()
	defer b.hold.mu.Unlock()
	n := 0
	for _, q := range b.hold.queues {
		n += len(q.suspended)
	}
	return n
}

func TestARequestThatLeftCountsForNothing(t *testing.T) {
	b := newBench(func(s *Settings) { s.Linger = time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	asked := b.ask(ctx, request("g", "1"))
	b.waitHeld(t, 1)
	cancel()
	verdict(t, asked)
	b.waitHeld(t, 0)
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := b.held[len(b.held)-1]; last != 0 {
		t.Errorf("demand is %d", last)
	}
}

func TestHeldRequestsFollowTheTraffic(t *testing.T) {
	b := newBench()
	next := model.Key{Namespace: "default", Name: "shop-v2"}
	asked := b.ask(t.Context(), request("g", "1"))
	b.waitHeld(t, 1)
	b.set(func() {
		b.revisions[next] = Revision{Cluster: "cluster|default/shop-v2|http1"}
		b.vhosts["external/shop.localhost"] = &model.VHost{Routes: []model.Route{{
			PathPrefix: "/", Splits: []model.Split{{Cluster: "cluster|default/shop-v2|http1", Revision: next, Weight: 100}},
		}}}
		b.ready["g|cluster|default/shop-v2|http1"] = 1
	})
	b.hold.Rerouted(map[string]struct{}{"external/shop.localhost": {}})
	if v := verdict(t, asked); v.Code != Go || v.Choice.Revision != next {
		t.Errorf("got %+v", v)
	}
}

func TestPastTheBoundARequestIsRefused(t *testing.T) {
	b := newBench(func(s *Settings) { s.PerRevision = 1 })
	b.ask(t.Context(), request("g", "1"))
	b.waitHeld(t, 1)
	if v := verdict(t, b.ask(t.Context(), request("g", "2"))); v.Code != Full {
		t.Errorf("got %+v", v)
	}
}

func TestTheNeedIsToldAtEachChangeAndTheEndOfIt(t *testing.T) {
	b := newBench()
	one, two := b.ask(t.Context(), request("g", "1")), b.ask(t.Context(), request("g", "2"))
	b.waitHeld(t, 2)
	b.set(func() { b.ready["g|"+cluster] = 1 })
	b.hold.Ready("g", cluster)
	verdict(t, one)
	verdict(t, two)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[0] != 1 || b.held[len(b.held)-1] != 0 || b.refreshed == 0 {
		t.Errorf("told %v, refreshed %d times", b.held, b.refreshed)
	}
}

func TestSharesArePickedByTheirWeights(t *testing.T) {
	route := model.Route{Splits: []model.Split{{Cluster: "a", Weight: 80}, {Cluster: "b", Weight: 0}, {Cluster: "c", Weight: 20}}}
	got := map[string]int{}
	for i := range 1000 {
		choice, ok := Pick(route, float64(i)/1000)
		if !ok {
			t.Fatal("nothing picked")
		}
		got[choice.Cluster]++
	}
	if got["a"] != 800 || got["b"] != 0 || got["c"] != 200 {
		t.Errorf("got %v", got)
	}
	if _, ok := Pick(model.Route{}, 0); ok {
		t.Error("picked from nothing")
	}
}

func TestHostNames(t *testing.T) {
	for in, want := range map[string]string{
		"shop.default.localhost": "shop.default.localhost", "Shop.Localhost:8080": "shop.localhost", "a.": "a", "[::1]:80": "::1", "": "",
	} {
		if got := HostName(in); got != want {
			t.Errorf("HostName(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzHostName(f *testing.F) {
	f.Add("shop.default.localhost:8080")
	f.Add("[::1]:80")
	f.Fuzz(func(t *testing.T, s string) {
		if got := HostName(s); got != strings.ToLower(got) {
			t.Errorf("HostName(%q) = %q", s, got)
		}
	})
}
