package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds"
	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/deploy/local/platform"
	"ebb.dev/ebb/test/images/builder"
	"ebb.dev/ebb/test/images/catalog"
)

// The image that benchmarks run, and the namespaces they run in.
const (
	Image = "ebb.dev/bench-app:latest"
	// Services has Ebb's, Bare what is started without Ebb.
	Services = "bench"
	Bare     = "bench-bare"
)

// Options of a testbed.
type Options struct {
	// Bin is the folder of ebb and the others.
	Bin string
	// State is the state folder: it is removed when the testbed stops.
	State string
	// Port is the gateway's.
	Port int
	// Node is kubelet or light, ReplicaProxy node or sidecar.
	Node, ReplicaProxy string
	// Events is durable, the default, or relaxed.
	Events string
	// Sources is the folder that the app's source is in: app.
	Sources string
	// Log takes what the processes say.
	Log io.Writer
}

// Bed is a platform that runs.
type Bed struct {
	Options
	Config *rest.Config
	Kube   kubernetes.Interface
	Client client.Client
	// Starts hears when apps listen.
	Starts *Starts
	// Receipts hears when apps have got events.
	Receipts *Receipts
	// NodeAddress is where pods and gateways reach processes of this machine.
	NodeAddress     string
	debug, broker   *http.Client
	tells, receipts net.PacketConn
}

// Start starts a platform with the test images and returns when it is ready.
func Start(ctx context.Context, o Options) (*Bed, error) {
	b := &Bed{Options: o, debug: onSocket(o.State, "debug.sock"), broker: onSocket(o.State, "events.sock")}
	if err := b.buildImages(ctx); err != nil {
		return nil, err
	}
	if err := b.up(ctx); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	return b, nil
}

// onSocket is a client for the debug pages of one of a platform's processes.
func onSocket(state, name string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(state, "run", name))
		},
	}}
}

// up starts the platform and connects to it.
func (b *Bed) up(ctx context.Context) error {
	args := []string{"up", "--detach", "--state", b.State, "--http-port", strconv.Itoa(b.Port), "--node", b.Node, "--bin", b.Bin}
	if b.ReplicaProxy != "" && b.ReplicaProxy != "node" {
		args = append(args, "--replica-proxy", b.ReplicaProxy)
	}
	if b.Events != "" {
		args = append(args, "--events", b.Events)
	}
	if err := b.run(ctx, args...); err != nil {
		return err
	}
	return b.connect(ctx)
}

// Restart ends the platform and starts it again with all that is in it, taking events in another way: durable or relaxed.
func (b *Bed) Restart(ctx context.Context, events string) error {
	if err := b.run(ctx, "down", "--state", b.State); err != nil {
		return err
	}
	b.Events = events
	return b.up(ctx)
}

func (b *Bed) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(b.Bin, "ebb"), args...)
	cmd.Stdout, cmd.Stderr = b.Log, b.Log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ebb %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func (b *Bed) buildImages(ctx context.Context) error {
	store, err := image.Open(filepath.Join(b.State, "images"))
	if err != nil {
		return err
	}
	_, err = builder.Build(ctx, store, b.Sources, catalog.Image{Name: Image, Dir: "app"})
	return err
}

func (b *Bed) connect(ctx context.Context) error {
	var err error
	if b.Config, err = clientcmd.BuildConfigFromFlags("", filepath.Join(b.State, "kubeconfig")); err != nil {
		return err
	}
	b.Config.QPS, b.Config.Burst = -1, -1
	// Advice on manifests is not for a benchmark.
	b.Config.WarningHandler = rest.NoWarnings{}
	if b.Kube, err = kubernetes.NewForConfig(b.Config); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, crds.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if b.Client, err = client.New(b.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	// Apps know where to tell, and still do after a restart.
	if b.tells == nil {
		if err := b.hear(ctx); err != nil {
			return err
		}
	}
	for _, name := range []string{Services, Bare} {
		_, err := b.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

// stopTimeout bounds the end of a platform.
const stopTimeout = 2 * time.Minute

// Stop ends the platform and removes its folder.
func (b *Bed) Stop() error {
	for _, conn := range []net.PacketConn{b.tells, b.receipts} {
		if conn != nil {
			conn.Close()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return b.run(ctx, "down", "--purge", "--state", b.State)
}

// Gateway is host:port of the gateway; URLHost is the host that leads to a service.
func (b *Bed) Gateway() string { return "127.0.0.1:" + strconv.Itoa(b.Port) }

// URLHost is the Host header of a service of these benchmarks.
func (b *Bed) URLHost(service string) string { return service + "." + Services + ".localhost" }

// Debug reads a debug page of the control plane into a value, or its text into a *string.
func (b *Bed) Debug(ctx context.Context, path string, into any) error {
	return page(ctx, b.debug, "control-plane", path, into)
}

// Broker reads a debug page of the event broker into a value, or its text into a *string.
func (b *Bed) Broker(ctx context.Context, path string, into any) error {
	return page(ctx, b.broker, "broker", path, into)
}

func page(ctx context.Context, client *http.Client, process, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+process+path, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s's %s: %w", process, path, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s's %s: %s", process, path, response.Status)
	}
	if text, ok := into.(*string); ok {
		data, err := io.ReadAll(response.Body)
		*text = string(data)
		return err
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// Components are the platform's processes.
func (b *Bed) Components() ([]platform.ComponentStatus, error) {
	s, err := platform.GetStatus(b.State)
	return s.Components, err
}

// Until calls f until it returns nil, every 20 ms, or the context ends; then it returns f's last error.
func Until(ctx context.Context, what string, f func() error) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		case <-ticker.C:
		}
	}
}

// Listens waits until something accepts connections at a TCP address.
func Listens(ctx context.Context, what, address string) error {
	accepts := platform.Accepts("tcp", address)
	return Until(ctx, what, func() error { return accepts(ctx) })
}

// Pause returns after a time, or with the context's cause when that ends.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// RemoveState removes a folder that an earlier run left, if no platform runs in it.
func RemoveState(path string) error {
	s, err := platform.GetStatus(path)
	if err == nil && s.State == "ready" {
		return fmt.Errorf("a platform runs in %s; stop it with: ebb down --state %s", path, path)
	}
	return os.RemoveAll(path)
}
