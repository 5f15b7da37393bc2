package agent

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"ebb.dev/ebb/xds/agent/agentpb"
	"ebb.dev/ebb/xds/model"
)

// Options of an agent.
type Options struct {
	// ControlPlane is host:port.
	ControlPlane string
	TrustDomain  string
	// TrustFile holds the roots to begin with, PEM.
	TrustFile string
	// Token returns an audience-bound service account token that proves who we are; it is asked at each use.
	Token func(context.Context) (string, error)
	// Name is the gateway's, for gateways.
	Name string
	// Socket is the unix socket that SDS is served on; empty serves none, for a process without an Envoy.
	Socket string
	// Idle is how long a workload's secret is kept that no Envoy asks for; 0 is DefaultIdle.
	Idle time.Duration
	Log  *slog.Logger
}

// DefaultIdle serves the next replica of a revision that wakes again soon at once.
const DefaultIdle = 10 * time.Minute

// Agent makes and serves secrets.
type Agent struct {
	options Options
	store   *store
	trust   *trust
	conn    *grpc.ClientConn
	ready   chan struct{}
	workers chan string
}

// New makes an agent. Nothing happens before Run.
func New(options Options) (*Agent, error) {
	options.Idle = cmp.Or(options.Idle, DefaultIdle)
	domain, err := spiffeid.TrustDomainFromString(options.TrustDomain)
	if err != nil {
		return nil, fmt.Errorf("trust domain %q: %w", options.TrustDomain, err)
	}
	roots, err := readRoots(options.TrustFile)
	if err != nil {
		return nil, err
	}
	a := &Agent{
		options: options, store: newStore(), trust: &trust{domain: domain, roots: roots},
		ready: make(chan struct{}), workers: make(chan string, 1024),
	}
	a.store.putTrust(a.trust.der())
	a.conn, err = dial(options.ControlPlane, options.TrustDomain, a.trust, own{a.store})
	return a, err
}

// Ready is closed once the agent has its own certificate.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// Conn is the connection to the control plane, with the agent's certificate. It is usable once the agent is ready.
func (a *Agent) Conn() *grpc.ClientConn { return a.conn }

// Run gets the agent's own certificate, serves SDS, renews what it serves and follows the roots, until the context ends.
func (a *Agent) Run(ctx context.Context) error {
	defer a.conn.Close()
	served := make(chan error, 1)
	if a.options.Socket != "" {
		stop, err := a.serve(served)
		if err != nil {
			return err
		}
		defer stop()
	}
	go a.keep(ctx, model.SelfSecret)
	go a.followTrust(ctx)
	for {
		select {
		case name := <-a.workers:
			go a.keep(ctx, name)
		case err := <-served:
			return fmt.Errorf("serve SDS on %s: %w", a.options.Socket, err)
		case <-ctx.Done():
			return nil
		}
	}
}

// serve serves SDS until stop is called, and says why if it ends before.
func (a *Agent) serve(ended chan<- error) (stop func(), err error) {
	listener, err := listen(a.options.Socket)
	if err != nil {
		return nil, err
	}
	// Envoy pings the connection as it does every HTTP/2 upstream.
	server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}))
	registerSDS(server, &sds{store: a.store, ensure: a.ensure, log: a.options.Log})
	go func() { ended <- server.Serve(listener) }()
	return server.Stop, nil
}

// TokenFile reads a token from a file, as a projected volume keeps it.
func TokenFile(path string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		data, err := os.ReadFile(path)
		return strings.TrimSpace(string(data)), err
	}
}

func listen(socket string) (net.Listener, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("clear %s: %w", socket, err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", socket, err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		listener.Close()
		return nil, fmt.Errorf("close %s to others: %w", socket, err)
	}
	return listener, nil
}

// ensure begins to keep a workload's secret.
func (a *Agent) ensure(name string) { a.workers <- name }

// keep gets a secret and renews it until nobody has wanted it for a while. Failures are tried again soon: on a node the
// pod may be a moment ahead of the control plane's knowledge of it.
func (a *Agent) keep(ctx context.Context, name string) {
	const first, most = 5 * time.Millisecond, 2 * time.Second
	delay := first
	if !a.store.keep(name) {
		return
	}
	for {
		svid, err := a.fetch(ctx, name)
		var wait time.Duration
		switch {
		case err == nil:
			a.store.put(name, svid)
			delay = first
			wait = time.Until(svid.renewAt())
			if name == model.SelfSecret {
				a.markReady()
			}
			a.options.Log.Debug("certificate in use", "secret", name, "id", svid.ID, "notAfter", svid.NotAfter)
		default:
			wait = delay
			if delay *= 2; delay > most {
				delay = most
				a.options.Log.Warn("no certificate yet", "secret", name, "error", err)
			}
		}
		if !a.pause(ctx, name, wait) {
			return
		}
	}
}

// pause waits until a secret is to be got again, and reports false when it is not: the context has ended, or nobody has
// wanted it for too long. One that nobody wants is not renewed, and not waited for when there is none yet.
func (a *Agent) pause(ctx context.Context, name string, wait time.Duration) bool {
	due := time.Now().Add(wait)
	for {
		n := a.store.need(name)
		until := due
		if !n.wanted {
			until = n.idle
			if n.have {
				until = n.idle.Add(a.options.Idle)
			}
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-timer.C:
			if n.wanted {
				return true
			}
			if a.store.drop(name) {
				return false
			}
		case <-n.changed:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

func (a *Agent) markReady() {
	select {
	case <-a.ready:
	default:
		close(a.ready)
	}
}

// fetch has a new key signed.
func (a *Agent) fetch(ctx context.Context, name string) (*SVID, error) {
	key, csr, err := request()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ask := &agentpb.SignRequest{Csr: csr, Name: a.options.Name}
	conn := a.conn
	if workload, ok := strings.CutPrefix(name, model.SVIDPrefix); ok {
		ask.Workload = workload
	} else {
		// The token is the proof each time: a certificate that may renew itself could outlive what it stands for.
		if ask.Token, err = a.options.Token(ctx); err != nil {
			return nil, fmt.Errorf("get a token: %w", err)
		}
		if self := a.store.self(); self == nil || time.Now().After(self.NotAfter) {
			a.reread()
			if conn, err = dial(a.options.ControlPlane, a.options.TrustDomain, a.trust, nil); err != nil {
				return nil, err
			}
			defer conn.Close()
		}
	}
	began := time.Now()
	signed, err := agentpb.NewIdentityClient(conn).Sign(ctx, ask)
	if err != nil {
		return nil, fmt.Errorf("have %s signed: %w", name, err)
	}
	a.believe(signed.GetTrust())
	return &SVID{Chain: signed.GetChain(), Key: key, ID: signed.GetId(), NotAfter: signed.GetNotAfter().AsTime(), issued: began}, nil
}

// reread takes over the roots of the file: without a certificate that is valid, what we believed may be as old.
func (a *Agent) reread() {
	roots, err := readRoots(a.options.TrustFile)
	if err != nil {
		a.options.Log.Warn("the roots were not read again", "error", err)
		return
	}
	a.trust.set(roots)
	a.store.putTrust(a.trust.der())
}

// believe takes over the roots that the control plane sends, over a connection that the old roots vouched for.
func (a *Agent) believe(bundle *agentpb.TrustBundle) {
	var roots []*x509.Certificate
	for _, der := range bundle.GetRoots() {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			a.options.Log.Error("a root was not understood", "error", err)
			return
		}
		roots = append(roots, certificate)
	}
	if len(roots) == 0 {
		return
	}
	a.trust.set(roots)
	a.store.putTrust(a.trust.der())
}

// followTrust takes over changes of the roots.
func (a *Agent) followTrust(ctx context.Context) {
	select {
	case <-a.ready:
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		stream, err := agentpb.NewIdentityClient(a.conn).Trust(ctx, &agentpb.TrustRequest{}, grpc.WaitForReady(true))
		for err == nil {
			var bundle *agentpb.TrustBundle
			if bundle, err = stream.Recv(); err == nil {
				a.believe(bundle)
			}
		}
		timer := time.NewTimer(time.Second)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}
