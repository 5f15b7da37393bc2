package light

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/deploy/local/kube"
	"ebb.dev/ebb/deploy/local/light/sandbox"
	"ebb.dev/ebb/deploy/local/state"
	"ebb.dev/ebb/test/freeport"
)

// The test binary is also the program that the tests run in pods, and the node that one of them kills.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "app" {
		app(os.Args[2:])
		return
	}
	os.Exit(m.Run())
}

// app is a program with the manners that the tests need.
func app(args []string) {
	switch args[0] {
	case "serve":
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		ready := time.Now()
		if len(args) > 1 {
			d, _ := time.ParseDuration(args[1])
			ready = ready.Add(d)
		}
		http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			fmt.Println("asked for", r.URL.Path)
			fmt.Fprintf(w, "hello %s", os.Getenv("TARGET"))
		})
		http.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
			if time.Now().Before(ready) {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		http.HandleFunc("/never", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		http.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
			b, err := os.ReadFile(r.URL.Query().Get("name"))
			fmt.Fprint(w, string(b), err)
		})
		l, err := net.Listen("tcp", ":8080")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("listening")
		go http.Serve(l, nil)
		<-term
		fmt.Println("terminated")
	case "exit":
		code, _ := strconv.Atoi(args[1])
		fmt.Println("exiting with", code)
		os.WriteFile("/dev/termination-log", []byte("bye"), 0o644)
		os.Exit(code)
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "cat":
		io.Copy(os.Stdout, os.Stdin)
	}
}

// testCluster is a real API server with its controllers, and a light node on it.
type testCluster struct {
	config *rest.Config
	client kubernetes.Interface
	store  *image.Store
	kubeDir
	settings kube.Settings

	mu        sync.Mutex
	addressed []PodAddressed
	started   []PodStarted
	drained   []string
	stopped   []PodStopped
	info      Info
}

type kubeDir struct{ bin, kubeconfig string }

// startKube starts ebb-kube for the whole test and ends it by its pid.
func startKube(t *testing.T) *testCluster {
	t.Helper()
	bin, err := filepath.Abs("../../../bin/ebb-kube")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Skip("needs bin/ebb-kube, a real API server: build it with make")
	}
	home, err := os.MkdirTemp("", "ebbl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	dir, err := state.Open(filepath.Join(home, "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := kube.Settings{Dir: dir, APIPort: freeport.Must(t), NodeName: "light-test", PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.96.0.0/16", ServiceAddress: "10.96.0.1"}
	if err := s.Write(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir.Run(), 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(home, "kube.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "run", s.ConfigFile())
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(20 * time.Second):
			cmd.Process.Kill()
			<-exited
		}
	})
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig(kube.UserAdmin))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	c := &testCluster{config: config, client: kubernetes.NewForConfigOrDie(config), settings: s, kubeDir: kubeDir{bin, s.Kubeconfig(kube.UserAdmin)}}
	admin, err := kube.NewCluster(c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, 60*time.Second, "the API server", func() error {
		select {
		case <-exited:
			b, _ := os.ReadFile(log.Name())
			t.Fatalf("ebb-kube ended: %.2000s", b)
		default:
		}
		return admin.Ready(t.Context())
	})
	wait(t, 30*time.Second, "the default service account", func() error {
		_, err := c.client.CoreV1().ServiceAccounts("default").Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return c
}

// wait polls until f succeeds.
func wait(t testing.TB, limit time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// testImage puts the test binary into the store as an image.
func testImage(t *testing.T, name string) *image.Store {
	t.Helper()
	store, err := image.Open(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := image.ParseRef(name)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Build(t.Context(), image.BuildOptions{Source: self, Name: ref, Kind: image.KindBinary, Program: "test", Entrypoint: []string{"/app/test", "app"}, Cmd: []string{"serve"}})
	if err != nil {
		t.Skipf("needs a test binary that is linked statically (CGO_ENABLED=0): %v", err)
	}
	for p := store.Dir(); p != "/" && p != "."; p = filepath.Dir(p) {
		os.Chmod(p, 0o755) // other users run programs from here
	}
	return store
}

// runNode runs a light node until the test ends or stop is called.
func (c *testCluster) runNode(t *testing.T, mode sandbox.Mode) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan Info, 1), make(chan error, 1)
	dir := t.TempDir()
	os.Chmod(filepath.Dir(dir), 0o755)
	os.Chmod(dir, 0o755)
	o := Options{
		Config: c.config, Name: "light-test", Dir: dir, Images: &image.Resolver{Store: c.store, Transport: noNetwork{}}, Mode: mode, Pool: 80,
		CertFile: c.settings.NodeCertFile(), KeyFile: c.settings.NodeKeyFile(), ClientCAFile: c.settings.CAFile(),
		Log:       slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		OnReady:   func(i Info) { ready <- i },
		OnAddress: func(a PodAddressed) { c.mu.Lock(); c.addressed = append(c.addressed, a); c.mu.Unlock() },
		OnStart: func(s PodStarted) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.started = append(c.started, s)
			if !slices.ContainsFunc(c.addressed, func(a PodAddressed) bool { return a.UID == s.UID && a.IP == s.IP }) {
				t.Errorf("pod %s started before its address was told: %v", s.Name, c.addressed)
			}
		},
		OnStop: func(s PodStopped) { c.mu.Lock(); c.stopped = append(c.stopped, s); c.mu.Unlock() },
		Drain: func(_ context.Context, p *corev1.Pod) error {
			c.mu.Lock()
			c.drained = append(c.drained, p.Name)
			c.mu.Unlock()
			return nil
		},
	}
	// The certificate of the cluster is for loopback.
	o.NodeIP, o.Listen = netip.MustParseAddr("127.0.0.1"), "127.0.0.1:0"
	if mode == sandbox.Plain {
		o.NodeIP = netip.Addr{}
	}
	go func() { done <- Run(ctx, o) }()
	select {
	case c.info = <-ready:
	case err := <-done:
		if strings.Contains(err.Error(), "isolation was asked for") || strings.Contains(err.Error(), "no address but loopback") {
			t.Skip(err)
		}
		t.Fatal(err)
	case <-time.After(30 * time.Second):
		t.Fatal("the node is not ready after 30 s")
	}
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("node: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the node did not stop")
		}
	})
	t.Cleanup(stop)
	return stop
}

type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("network is unreachable")}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // the test may have ended
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// newPod makes a pod that runs the test program.
func testPod(name string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "test:v1", Args: args, ImagePullPolicy: corev1.PullIfNotPresent,
		}}},
	}
}

func (c *testCluster) create(t *testing.T, p *corev1.Pod) *corev1.Pod {
	t.Helper()
	got, err := c.client.CoreV1().Pods(p.Namespace).Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (c *testCluster) get(t *testing.T, name string) *corev1.Pod {
	t.Helper()
	p, err := c.client.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// until waits until the pod is as wanted and returns it.
func (c *testCluster) until(t *testing.T, name, what string, ok func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var p *corev1.Pod
	wait(t, 20*time.Second, what+" of pod "+name, func() error {
		var err error
		if p, err = c.client.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		if !ok(p) {
			return fmt.Errorf("phase %s, %+v, conditions %+v", p.Status.Phase, p.Status.ContainerStatuses, p.Status.Conditions)
		}
		return nil
	})
	return p
}

func isReady(p *corev1.Pod) bool { return isTrue(p.Status.Conditions, corev1.PodReady) }

func (c *testCluster) kubectl(t *testing.T, in string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.bin, append([]string{"kubectl", "--kubeconfig", c.kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// follow runs kubectl logs -f and returns its output from the second line on.
func (c *testCluster) follow(t *testing.T, pod string) (io.Reader, <-chan struct{}) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.bin, "kubectl", "--kubeconfig", c.kubeconfig, "logs", "-f", pod)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); err != nil || line != "listening\n" {
		t.Fatalf("logs -f begins with %q, %v", line, err)
	}
	ended := make(chan struct{})
	var rest bytes.Buffer
	go func() {
		defer close(ended)
		io.Copy(&rest, r)
		cmd.Wait()
	}()
	return &rest, ended
}
