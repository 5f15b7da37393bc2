package xds_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ebb.dev/ebb/deploy/envoy/bootstrap"
	"ebb.dev/ebb/test/freeport"
	"ebb.dev/ebb/test/mesh"
	"ebb.dev/ebb/xds"
	"ebb.dev/ebb/xds/agent"
	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/identity"
	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/server"
	"ebb.dev/ebb/xds/store"
)

const trustDomain = "test.local"

// envoyBinary finds the pinned Envoy or skips the test, saying why.
func envoyBinary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("EBB_ENVOY")
	if path == "" {
		path, _ = filepath.Abs("../bin/envoy")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("needs the pinned Envoy: %v (make bin/envoy)", err)
	}
	return path
}

// tokens are those of a gateway, a node and a pod.
var tokens = mesh.Tokens{
	"gateway": {Account: identity.DefaultAccounts().Gateway},
	"node":    {Account: identity.DefaultAccounts().Node, Node: "n1"},
	"pod":     {Account: model.Key{Namespace: "default", Name: "default"}, Pod: sidecarPod},
}

// scaler records demand and calls wake when a revision is asked for.
type scaler struct {
	mu     sync.Mutex
	held   map[model.Key]int
	most   map[model.Key]int
	wake   func(model.Key)
	coming atomic.Bool
	seen   chan []server.Sample
}

func (s *scaler) Held(revision model.Key, held int) {
	s.mu.Lock()
	before := s.held[revision]
	s.held[revision] = held
	s.most[revision] = max(s.most[revision], held)
	wake := s.wake
	s.mu.Unlock()
	if before == 0 && held > 0 && wake != nil {
		go wake(revision)
	}
}

func (s *scaler) Coming(model.Key) bool { return s.coming.Load() }
func (s *scaler) Report(_ string, _ time.Time, samples []server.Sample, _ []server.Flight) {
	select {
	case s.seen <- samples:
	default:
	}
}
func (s *scaler) Silent(string) {}

// bed is a control plane with one gateway and one node proxy, all real.
type bed struct {
	t       testing.TB
	dir     string
	plane   *xds.Plane
	scaler  *scaler
	ca      *mesh.Memory
	address string
	stop    context.CancelFunc
	done    chan struct{}
	gateway string // base URL
	log     *slog.Logger
}

type nodeService struct {
	agentpb.UnimplementedNodeServer
}

func newBed(t testing.TB, settings hold.Settings, prepare ...func(*store.Tx)) *bed {
	t.Helper()
	binary := envoyBinary(t)
	level := slog.LevelWarn
	if testing.Verbose() {
		level = slog.LevelInfo
	}
	b := &bed{
		t: t, dir: t.TempDir(), ca: &mesh.Memory{},
		scaler:  &scaler{held: map[model.Key]int{}, most: map[model.Key]int{}, seen: make(chan []server.Sample, 1)},
		address: freeport.Address(freeport.Must(t)),
		log:     slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
	port := uint32(freeport.Must(t))
	b.gateway = fmt.Sprintf("http://127.0.0.1:%d", port)
	b.start(port, settings, prepare...)
	t.Cleanup(func() { b.stop(); <-b.done })
	b.proxy(binary, bootstrap.Gateway, "gateway/main/0", "gateway", "main")
	b.proxy(binary, bootstrap.Replica, "node/n1/0", "node", "")
	b.waitReady(port)
	return b
}

// start runs a control plane; after stop it may run again, as a restarted one with the same CA.
func (b *bed) start(port uint32, settings hold.Settings, prepare ...func(*store.Tx)) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ca, err := identity.OpenCA(ctx, trustDomain, b.ca, time.Now, b.log)
	if err != nil {
		b.t.Fatal(err)
	}
	mesh.WriteRoots(b.t, ca, filepath.Join(b.dir, "trust.pem"))
	b.plane = xds.New(ctx, xds.Options{
		TrustDomain: trustDomain, CA: ca, Reviewer: tokens, Accounts: identity.DefaultAccounts(),
		Listeners:  []envoy.GatewayListener{{Config: model.External, Addresses: []model.Address{{Host: "127.0.0.1", Port: port}}}},
		Autoscaler: b.scaler, Hold: settings, Node: nodeService{}, Log: b.log,
	})
	for _, f := range prepare {
		b.plane.Store.Write(f)
	}
	listener, err := net.Listen("tcp", b.address)
	if err != nil {
		b.t.Fatal(err)
	}
	b.done = make(chan struct{})
	b.stop = cancel
	go func(done chan struct{}, plane *xds.Plane) {
		defer close(done)
		if err := plane.Serve(ctx, listener); err != nil {
			b.t.Error(err)
		}
	}(b.done, b.plane)
}

// proxy runs an agent and its Envoy until the test ends.
func (b *bed) proxy(binary string, kind bootstrap.Kind, id, token, name string) {
	b.t.Helper()
	dir := filepath.Join(b.dir, token)
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			b.t.Fatal(err)
		}
		return path
	}
	mesh.Agent(b.t, agent.Options{
		ControlPlane: b.address, TrustDomain: trustDomain, TrustFile: filepath.Join(b.dir, "trust.pem"), Name: name,
		Socket: filepath.Join(dir, "sds.sock"), Log: b.log,
	}, token)
	config, err := bootstrap.Encode(bootstrap.Settings{
		Kind: kind, ControlPlane: b.address, TrustDomain: trustDomain, Feed: 20 * time.Millisecond,
		AgentSocket: filepath.Join(dir, "sds.sock"), AdminSocket: filepath.Join(dir, "admin.sock"),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	logs, err := os.Create(filepath.Join(dir, "envoy.log"))
	if err != nil {
		b.t.Fatal(err)
	}
	command := exec.Command(binary, "-c", write("bootstrap"+bootstrap.Extension, config), "--service-node", id,
		"--concurrency", "1", "--use-dynamic-base-id", "-l", "info")
	command.Env = append(os.Environ(), model.ProxyEnvironment+"="+id)
	command.Stdout, command.Stderr = logs, logs
	if err := command.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		logs.Close()
		if b.t.Failed() {
			tail, _ := os.ReadFile(logs.Name())
			b.t.Logf("%s's log:\n%s", id, last(tail, 4000))
		}
	})
}

func last(data []byte, n int) []byte {
	if len(data) > n {
		return data[len(data)-n:]
	}
	return data
}

func (b *bed) waitReady(port uint32) {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			conn.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.t.Fatal("the gateway does not listen")
}

// service puts a service with one host and these splits into the world.
func service(name string, splits ...model.Split) func(*store.Tx) {
	return func(tx *store.Tx) {
		owner := model.Owner{Kind: "Ingress", Key: model.Key{Namespace: "default", Name: name}}
		tx.SetVHosts(owner, []*model.VHost{{
			Name: model.VHostName(model.External, name+".default.localhost"), Config: model.External, Owner: owner,
			Domains: []string{name + ".default.localhost"},
			Routes:  []model.Route{{PathPrefix: "/", Splits: splits}},
		}})
	}
}

func split(revision string, weight uint32) model.Split {
	key := model.Key{Namespace: "default", Name: revision}
	return model.Split{Cluster: model.ClusterName(key, model.HTTP1), Revision: key, Weight: weight}
}

// revision puts a revision into the world.
func revision(name string, concurrency uint32) func(*store.Tx) {
	return func(tx *store.Tx) {
		tx.SetRevision(model.Revision{
			Key: model.Key{Namespace: "default", Name: name}, Protocol: model.HTTP1, ServiceAccount: "default",
			Concurrency: concurrency, Port: 8080, Timeouts: model.Timeouts{Request: 5 * time.Minute, ResponseStart: 5 * time.Minute},
			Probe: &model.Probe{Kind: model.ProbeTCP},
		})
	}
}

var pods, listens atomic.Int64

// listenPort is below the range that the system hands out, so that no other listener of the test gets it first.
func listenPort() uint32 { return uint32(20000 + listens.Add(1)%10000) }

// startReplica runs an app in this process and puts its pod into the world, as an informer would.
func (b *bed) startReplica(revision string, handler http.Handler) model.Key {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Error(err)
		return model.Key{}
	}
	app := &http.Server{Handler: handler}
	go app.Serve(listener)
	b.t.Cleanup(func() { app.Close() })
	port := uint32(listener.Addr().(*net.TCPAddr).Port)
	pod := model.Key{Namespace: "default", Name: fmt.Sprintf("%s-%d", revision, pods.Add(1))}
	key := model.Key{Namespace: "default", Name: revision}
	b.plane.Store.Write(func(tx *store.Tx) {
		r, _ := tx.Revision(key)
		spec := r.Revision
		probe := *spec.Probe
		probe.Port = port
		spec.Probe = &probe
		tx.SetReplica(&store.Replica{Node: "n1", Replica: model.Replica{
			Pod: pod, Revision: spec, Proxy: "node/n1/0",
			Listen: model.Address{Host: "127.0.0.1", Port: listenPort()},
			App:    model.Address{Host: "127.0.0.1", Port: port},
		}})
	})
	return pod
}

func (b *bed) stopReplica(pod model.Key) {
	b.plane.Store.Write(func(tx *store.Tx) { tx.DeleteReplica(pod) })
}

// get asks the gateway for a service.
func (b *bed) get(client *http.Client, service, path string) (int, string) {
	request, err := http.NewRequest(http.MethodGet, b.gateway+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	request.Host = service + ".default.localhost"
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, err.Error()
	}
	return response.StatusCode, string(body)
}
