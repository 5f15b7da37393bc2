package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apiserver/pkg/server"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// admissionOff are plugins that have nothing to do here: no volumes are provisioned, no runtime classes exist.
var admissionOff = []string{"StorageObjectInUseProtection", "PersistentVolumeClaimResize", "DefaultStorageClass", "TaintNodesByCondition", "RuntimeClass"}

// runAPIServer serves until ctx ends.
func runAPIServer(ctx context.Context, cfg *Config) error {
	listener, err := listen(cfg.APIServer.Listen, cfg.APIServer.InheritedListeners)
	if err != nil {
		return err
	}
	opts := options.NewServerRunOptions()
	if err := parseFlags(opts.Flags(), apiServerFlags(cfg)); err != nil {
		return err
	}
	opts.SecureServing.Listener = listener
	if err := opts.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return fmt.Errorf("feature gates: %w", err)
	}
	completed, err := opts.Complete(ctx)
	if err != nil {
		return fmt.Errorf("options: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return fmt.Errorf("options: %w", errors.Join(errs...))
	}
	config, err := app.NewConfig(completed)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	// What app.Run does, with a filter before all others.
	chain := config.Aggregator.GenericConfig.BuildHandlerChainFunc
	config.Aggregator.GenericConfig.BuildHandlerChainFunc = func(api http.Handler, c *server.Config) http.Handler {
		return standAside(chain(api, c))
	}
	complete, err := config.Complete()
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	aggregator, err := app.CreateServerChain(complete)
	if err != nil {
		return fmt.Errorf("servers: %w", err)
	}
	prepared, err := aggregator.PrepareRun()
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return prepared.Run(ctx)
}

func apiServerFlags(cfg *Config) []string {
	c := cfg.APIServer
	_, port, _ := net.SplitHostPort(c.Listen[0])
	flags := []string{
		"--etcd-servers=unix://" + cfg.Etcd.Socket,
		"--secure-port=" + port,
		"--tls-cert-file=" + c.CertFile,
		"--tls-private-key-file=" + c.KeyFile,
		"--client-ca-file=" + c.ClientCAFile,
		"--service-account-issuer=" + c.ServiceAccountIssuer,
		"--service-account-key-file=" + c.ServiceAccountKeyFile,
		"--service-account-signing-key-file=" + c.ServiceAccountKeyFile,
		"--service-cluster-ip-range=" + c.ServiceCIDR,
		"--authorization-mode=Node,RBAC",
		"--anonymous-auth=false",
		"--allow-privileged=true",
		"--kubelet-certificate-authority=" + c.KubeletCAFile,
		"--kubelet-client-certificate=" + c.KubeletCertFile,
		"--kubelet-client-key=" + c.KubeletKeyFile,
		"--kubelet-preferred-address-types=InternalIP",
		"--disable-admission-plugins=" + strings.Join(admissionOff, ","),
		// One user and one machine: fairness between tenants only costs memory and latency.
		"--enable-priority-and-fairness=false",
		"--max-requests-inflight=0",
		"--max-mutating-requests-inflight=0",
		"--profiling=false",
		"--event-ttl=15m",
	}
	if c.AdvertiseAddress == "" {
		return append(flags, "--endpoint-reconciler-type=none")
	}
	return append(flags, "--endpoint-reconciler-type=master-count", "--advertise-address="+c.AdvertiseAddress)
}

// parseFlags sets the options behind sets from command-line flags, the form in which Kubernetes documents them.
func parseFlags(sets cliflag.NamedFlagSets, flags []string) error {
	for _, f := range flags {
		name, value, _ := strings.Cut(strings.TrimPrefix(f, "--"), "=")
		if err := setFlag(sets, name, value); err != nil {
			return fmt.Errorf("flag --%s=%s: %w", name, value, err)
		}
	}
	return nil
}

func setFlag(sets cliflag.NamedFlagSets, name, value string) error {
	for _, set := range sets.FlagSets {
		if set.Lookup(name) != nil {
			return set.Set(name, value)
		}
	}
	return errors.New("no such flag")
}

// listen opens every address, adopts every descriptor and merges them to one listener whose address is the first's.
func listen(addresses []string, descriptors []int) (net.Listener, error) {
	var all []net.Listener
	for _, a := range addresses {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	for _, fd := range descriptors {
		f := os.NewFile(uintptr(fd), "listener "+strconv.Itoa(fd))
		if f == nil {
			return nil, fmt.Errorf("inherited listener %d: not an open file descriptor", fd)
		}
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("inherited listener %d: %w", fd, err)
		}
		all = append(all, l)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return merge(all), nil
}

// merged accepts from several listeners.
type merged struct {
	all      []net.Listener
	accepted chan accepted
	closed   chan struct{}
	once     sync.Once
}

type accepted struct {
	conn net.Conn
	err  error
}

func merge(all []net.Listener) *merged {
	m := &merged{all: all, accepted: make(chan accepted), closed: make(chan struct{})}
	for _, l := range all {
		go m.accept(l)
	}
	return m
}

func (m *merged) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		select {
		case m.accepted <- accepted{conn, err}:
		case <-m.closed:
			if conn != nil {
				conn.Close()
			}
			return
		}
		if err != nil && errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// Accept returns the next connection of any listener.
func (m *merged) Accept() (net.Conn, error) {
	select {
	case a := <-m.accepted:
		return a.conn, a.err
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close closes all listeners.
func (m *merged) Close() error {
	var errs []error
	m.once.Do(func() {
		close(m.closed)
		for _, l := range m.all {
			errs = append(errs, l.Close())
		}
	})
	return errors.Join(errs...)
}

// Addr is the first listener's address.
func (m *merged) Addr() net.Addr { return m.all[0].Addr() }
