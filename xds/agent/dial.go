package agent

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"ebb.dev/ebb/xds/model"
)

// trust is the roots as they are now.
type trust struct {
	mu     sync.Mutex
	domain spiffeid.TrustDomain
	roots  []*x509.Certificate
}

// GetX509BundleForTrustDomain implements x509bundle.Source.
func (t *trust) GetX509BundleForTrustDomain(domain spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if domain != t.domain {
		return nil, fmt.Errorf("no roots for trust domain %s", domain)
	}
	return x509bundle.FromX509Authorities(domain, t.roots), nil
}

func (t *trust) set(roots []*x509.Certificate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.roots = roots
}

func (t *trust) der() [][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([][]byte, 0, len(t.roots))
	for _, root := range t.roots {
		out = append(out, root.Raw)
	}
	return out
}

// readRoots reads the roots to begin with.
func readRoots(file string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the roots: %w", err)
	}
	var out []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("roots in %s: %w", file, err)
		}
		out = append(out, certificate)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return out, nil
}

// own is the SVID of this process for Go's TLS.
type own struct{ store *store }

// GetX509SVID implements x509svid.Source.
func (o own) GetX509SVID() (*x509svid.SVID, error) {
	svid := o.store.self()
	if svid == nil {
		return nil, errors.New("no certificate yet")
	}
	chain := make([]*x509.Certificate, 0, len(svid.Chain))
	for _, der := range svid.Chain {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("own certificate: %w", err)
		}
		chain = append(chain, certificate)
	}
	id, err := spiffeid.FromString(svid.ID)
	if err != nil {
		return nil, fmt.Errorf("own identity: %w", err)
	}
	return &x509svid.SVID{ID: id, Certificates: chain, PrivateKey: svid.Key}, nil
}

// dial connects to the control plane and to nobody else. With a certificate of its own, once there is one.
func dial(target, trustDomain string, roots *trust, self x509svid.Source) (*grpc.ClientConn, error) {
	controlPlane, err := spiffeid.FromString(model.EbbID(trustDomain, model.RoleControlPlane, ""))
	if err != nil {
		return nil, fmt.Errorf("trust domain %q: %w", trustDomain, err)
	}
	var config *tls.Config
	if self == nil {
		config = tlsconfig.TLSClientConfig(roots, tlsconfig.AuthorizeID(controlPlane))
	} else {
		config = tlsconfig.MTLSClientConfig(self, roots, tlsconfig.AuthorizeID(controlPlane))
	}
	config.MinVersion = tls.VersionTLS13
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)
	if err != nil {
		return nil, fmt.Errorf("dial the control plane at %s: %w", target, err)
	}
	return conn, nil
}
