package apiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/test/freeport"
)

// Cluster is a running API server with a store.
type Cluster struct {
	// Binary is ebb-kube, which is kubectl too.
	Binary string
	// Kubeconfig is the file of an administrator.
	Kubeconfig string
	// Config is the same for clients. It has no rate limit and keeps the server's warnings to itself.
	Config *rest.Config
}

// Options say what runs beside the API server.
type Options struct {
	// Controllers runs the controller manager: Deployments get pods, deleted parents take their children along.
	Controllers bool
}

// Start runs a cluster until the test ends.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	dir := t.TempDir()
	c := &Cluster{Binary: binary(t), Kubeconfig: filepath.Join(dir, "kubeconfig")}
	address := freeport.Address(freeport.Must(t))
	ca := newAuthority(t, dir)
	admin := ca.issue(t, "admin", "system:masters")
	server := ca.issue(t, "localhost", "")
	writeKubeconfig(t, c.Kubeconfig, "https://"+address, ca.certFile, admin)
	var err error
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		t.Fatal(err)
	}
	c.Config.QPS = -1
	c.Config.WarningHandler = rest.NoWarnings{}
	// The socket's name must be short, which the test's folder may not be.
	socket, err := os.MkdirTemp("", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(socket) })
	configuration := map[string]any{
		"etcd": map[string]any{"dataDir": filepath.Join(dir, "etcd"), "socket": filepath.Join(socket, "s")},
		"apiServer": map[string]any{
			"listen": []string{address}, "serviceCIDR": "10.96.0.0/16",
			"certFile": server.certFile, "keyFile": server.keyFile, "clientCAFile": ca.certFile,
			"serviceAccountKeyFile": ca.keyFile, "serviceAccountIssuer": "https://kubernetes.default.svc",
			"kubeletCAFile": ca.certFile, "kubeletCertFile": admin.certFile, "kubeletKeyFile": admin.keyFile,
			"readyKubeconfig": c.Kubeconfig,
		},
	}
	if o.Controllers {
		configuration["controllerManager"] = map[string]any{
			"kubeconfig": c.Kubeconfig, "rootCAFile": ca.certFile, "serviceAccountKeyFile": ca.keyFile,
		}
	}
	data, err := json.Marshal(configuration)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(t, file, dir)
	return c
}

// binary finds ebb-kube, or skips the test.
func binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("EBB_KUBE")
	if path == "" {
		path = filepath.Join(root(t), "bin", "ebb-kube")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no Kubernetes to ask: %v; build cmd/ebb-kube to bin/ebb-kube or set EBB_KUBE", err)
	}
	return path
}

// root is the repository's folder.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("this test does not run inside the repository")
		}
		dir = parent
	}
}

// run starts the process, waits until it is ready, and ends it with the test.
func (c *Cluster) run(t testing.TB, configuration, dir string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(c.Binary, "run", configuration)
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- process.Wait() }()
	t.Cleanup(func() {
		process.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(20 * time.Second):
			process.Process.Kill()
			<-exited
		}
		log.Close()
	})
	c.waitReady(t, exited, log.Name())
}

func (c *Cluster) waitReady(t testing.TB, exited chan error, log string) {
	t.Helper()
	web, err := rest.HTTPClientFor(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Config.Host+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := web.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-exited:
			exited <- err
			text, _ := os.ReadFile(log)
			t.Fatalf("the API server ended: %v\n%s", err, text)
		case <-ctx.Done():
			text, _ := os.ReadFile(log)
			t.Fatalf("the API server is not ready: %v\n%s", ctx.Err(), text)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Kubectl runs kubectl and returns what it prints, errors included.
func (c *Cluster) Kubectl(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.Binary, append([]string{"kubectl", "--kubeconfig", c.Kubeconfig}, args...)...)
	command.Stdin = bytes.NewBufferString(stdin)
	out, err := command.CombinedOutput()
	if err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out)
}

// Client returns a client that knows the kinds of scheme.
func (c *Cluster) Client(t testing.TB, scheme *runtime.Scheme) client.Client {
	t.Helper()
	api, err := client.New(c.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// Eventually waits until holds does, and fails the test if that takes a minute.
func Eventually(t testing.TB, what string, holds func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !holds(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("not so in time: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
