package identity

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"
)

// Keeper keeps the roots across restarts: a file on a laptop, a Secret in a cluster.
type Keeper interface {
	Load(ctx context.Context) ([]byte, error)
	Save(ctx context.Context, data []byte) error
}

// CA signs.
type CA struct {
	trustDomain string
	keeper      Keeper
	now         func() time.Time
	log         *slog.Logger

	mu      sync.Mutex
	roots   []Root
	signer  Root
	again   time.Time
	changed chan struct{}
}

// OpenCA loads the roots, or makes the first.
func OpenCA(ctx context.Context, trustDomain string, keeper Keeper, now func() time.Time, log *slog.Logger) (*CA, error) {
	data, err := keeper.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load the CA: %w", err)
	}
	roots, err := DecodeRoots(data)
	if err != nil {
		return nil, fmt.Errorf("load the CA: %w", err)
	}
	ca := &CA{trustDomain: trustDomain, keeper: keeper, now: now, log: log, roots: roots, changed: make(chan struct{})}
	if err := ca.rotate(ctx); err != nil {
		return nil, err
	}
	return ca, nil
}

// rotate brings the roots up to date and saves them when they changed.
func (ca *CA) rotate(ctx context.Context) error {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	before := len(ca.roots)
	plan := Rotate(ca.roots, ca.now())
	if plan.Make {
		root, err := NewRoot(ca.trustDomain, ca.now())
		if err != nil {
			return err
		}
		plan = Rotate(append(plan.Keep, root), ca.now())
		ca.log.Info("new root", "notAfter", root.Certificate.NotAfter)
	}
	if changed := before != len(plan.Keep) || !ca.has(plan.Keep); changed {
		data, err := EncodeRoots(plan.Keep)
		if err != nil {
			return err
		}
		if err := ca.keeper.Save(ctx, data); err != nil {
			return fmt.Errorf("save the CA: %w", err)
		}
		close(ca.changed)
		ca.changed = make(chan struct{})
	}
	ca.roots, ca.signer, ca.again = plan.Keep, plan.Signer, plan.Again
	return nil
}

func (ca *CA) has(roots []Root) bool {
	for i := range roots {
		if i >= len(ca.roots) || !ca.roots[i].Certificate.Equal(roots[i].Certificate) {
			return false
		}
	}
	return true
}

// Run rotates the roots until the context ends.
func (ca *CA) Run(ctx context.Context) {
	for {
		ca.mu.Lock()
		wait := max(ca.again.Sub(ca.now()), time.Minute)
		ca.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if err := ca.rotate(ctx); err != nil {
			ca.log.Error("the CA's roots were not rotated", "error", err)
		}
	}
}

// Roots returns the certificates to believe and a channel that is closed when they change.
func (ca *CA) Roots() ([]*x509.Certificate, <-chan struct{}) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	out := make([]*x509.Certificate, 0, len(ca.roots))
	for _, root := range ca.roots {
		out = append(out, root.Certificate)
	}
	return out, ca.changed
}

// Subject is whom a certificate is for.
type Subject struct {
	// ID is the SPIFFE ID.
	ID string
	// Pod, "name.namespace", scopes a sidecar's certificate to its pod; empty otherwise.
	Pod string
	// DNS are names that servers of ours are dialled by.
	DNS []string
}

// podSuffix ends the DNS name that scopes a certificate to a pod.
const podSuffix = ".pod.ebb.internal"

// Issue signs a public key.
func (ca *CA) Issue(subject Subject, public crypto.PublicKey) (chain [][]byte, notAfter time.Time, err error) {
	id, err := url.Parse(subject.ID)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("identity %q: %w", subject.ID, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, time.Time{}, err
	}
	now := ca.now()
	ca.mu.Lock()
	signer := ca.signer
	ca.mu.Unlock()
	notAfter = now.Add(SVIDTTL)
	if end := signer.Certificate.NotAfter; end.Before(notAfter) {
		notAfter = end
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		NotBefore:    now.Add(-skew),
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:         []*url.URL{id},
		DNSNames:     append([]string(nil), subject.DNS...),
	}
	if subject.Pod != "" {
		template.DNSNames = append(template.DNSNames, subject.Pod+podSuffix)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.Certificate, public, signer.Key)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("sign for %s: %w", subject.ID, err)
	}
	return [][]byte{der}, notAfter, nil
}
