package identity

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Keeper keeps the roots across restarts, and for all control planes of a cluster: a file on a laptop, a Secret in a
// cluster. What it keeps is the truth.
type Keeper interface {
	// Load returns what was saved last, or nothing.
	Load(ctx context.Context) ([]byte, error)
	// Save fails rather than replace what another control plane saved first.
	Save(ctx context.Context, data []byte) error
}

// reload is how often the roots are read again: well within the time in which a new one is only believed.
const reload = time.Hour

// CA signs.
type CA struct {
	trustDomain string
	keeper      Keeper
	now         func() time.Time
	log         *slog.Logger

	// rotating lets one rotation run at a time; it is held over the keeper's I/O, mu is not.
	rotating sync.Mutex

	mu      sync.Mutex
	roots   []Root
	signer  Root
	again   time.Time
	changed chan struct{}
}

// OpenCA loads the roots, or makes the first.
func OpenCA(ctx context.Context, trustDomain string, keeper Keeper, now func() time.Time, log *slog.Logger) (*CA, error) {
	ca := &CA{trustDomain: trustDomain, keeper: keeper, now: now, log: log, changed: make(chan struct{})}
	if err := ca.rotate(ctx); err != nil {
		return nil, err
	}
	return ca, nil
}

// rotate reads the roots, brings them up to date and saves them when they changed.
func (ca *CA) rotate(ctx context.Context) error {
	ca.rotating.Lock()
	defer ca.rotating.Unlock()
	data, err := ca.keeper.Load(ctx)
	if err != nil {
		return fmt.Errorf("load the CA: %w", err)
	}
	stored, err := DecodeRoots(data)
	if err != nil {
		return fmt.Errorf("load the CA: %w", err)
	}
	known := stored
	if len(stored) == 0 {
		// Nothing where there was something is an accident: what is known stands.
		known = ca.known()
	}
	plan := Rotate(known, ca.now())
	if plan.Make {
		root, err := NewRoot(ca.trustDomain, ca.now())
		if err != nil {
			return err
		}
		plan = Rotate(append(plan.Keep, root), ca.now())
		ca.log.Info("new root", "notAfter", root.Certificate.NotAfter)
	}
	if !same(stored, plan.Keep) {
		data, err := EncodeRoots(plan.Keep)
		if err != nil {
			return err
		}
		if err := ca.keeper.Save(ctx, data); err != nil {
			return fmt.Errorf("save the CA: %w", err)
		}
	}
	ca.adopt(plan)
	return nil
}

func (ca *CA) known() []Root {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.roots
}

func (ca *CA) adopt(plan Rotation) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if !same(ca.roots, plan.Keep) {
		close(ca.changed)
		ca.changed = make(chan struct{})
	}
	ca.roots, ca.signer, ca.again = plan.Keep, plan.Signer, plan.Again
}

func same(a, b []Root) bool {
	return slices.EqualFunc(a, b, func(a, b Root) bool { return a.Certificate.Equal(b.Certificate) })
}

// Run rotates the roots until the context ends.
func (ca *CA) Run(ctx context.Context) {
	for {
		ca.mu.Lock()
		wait := min(max(ca.again.Sub(ca.now()), time.Minute), reload)
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

// RootsPEM are the certificates to believe, as files and configurations have them.
func (ca *CA) RootsPEM() []byte {
	roots, _ := ca.Roots()
	var out []byte
	for _, root := range roots {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: root.Raw})...)
	}
	return out
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
