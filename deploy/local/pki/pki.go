package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// authorityLife and leafLife are the validity of new certificates.
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	// renewBefore the end of its validity a certificate is replaced.
	renewBefore = 30 * 24 * time.Hour
	// backdate tolerates a clock that was set back.
	backdate = time.Hour
)

// Wanted is one certificate.
type Wanted struct {
	// Name is the file name without suffix: NAME.crt and NAME.key.
	Name string
	// User and Groups are the Kubernetes identity (common name, organizations).
	User   string
	Groups []string
	// DNS and IPs are the names a server answers to. A certificate without any is for clients only.
	DNS []string
	IPs []net.IP
}

// Folder is where the files are.
type Folder string

// CA is the authority's certificate.
func (f Folder) CA() string { return f.Cert("ca") }

// Cert is the path of the named certificate.
func (f Folder) Cert(name string) string { return filepath.Join(string(f), name+".crt") }

// Key is the path of the named private key.
func (f Folder) Key(name string) string { return filepath.Join(string(f), name+".key") }

// ServiceAccountKey is the key that signs service-account tokens.
func (f Folder) ServiceAccountKey() string { return f.Key("service-account") }

// Ensure brings the folder to hold everything in wanted, valid at now. Errors name the file.
func (f Folder) Ensure(wanted []Wanted, now time.Time) error {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return err
	}
	ca, err := f.ensureAuthority(now)
	if err != nil {
		return err
	}
	if err := f.ensureServiceAccountKey(); err != nil {
		return err
	}
	for _, w := range wanted {
		if err := f.ensureLeaf(ca, w, now); err != nil {
			return err
		}
	}
	return nil
}

// authority signs.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func (f Folder) ensureAuthority(now time.Time) (*authority, error) {
	cert, key, err := f.load("ca")
	switch {
	case err == nil && now.Before(cert.NotAfter.Add(-renewBefore)):
		return &authority{cert, key}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w; remove the folder %s to begin again", err, f)
	}
	key, err = f.newKey("ca")
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(pkix.Name{CommonName: "ebb local authority"}, now, authorityLife)
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	cert, err = f.sign("ca", template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key}, nil
}

func (f Folder) ensureLeaf(ca *authority, w Wanted, now time.Time) error {
	cert, _, err := f.load(w.Name)
	switch {
	case err == nil && fits(cert, ca.cert, w, now):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; remove the folder %s to begin again", err, f)
	}
	key, err := f.newKey(w.Name)
	if err != nil {
		return err
	}
	template, err := newTemplate(pkix.Name{CommonName: w.User, Organization: w.Groups}, now, leafLife)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(w.DNS)+len(w.IPs) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	template.DNSNames, template.IPAddresses = w.DNS, w.IPs
	_, err = f.sign(w.Name, template, ca.cert, key.Public(), ca.key)
	return err
}

// fits reports whether cert is still what is wanted.
func fits(cert, ca *x509.Certificate, w Wanted, now time.Time) bool {
	return cert.CheckSignatureFrom(ca) == nil &&
		now.Before(cert.NotAfter.Add(-renewBefore)) &&
		cert.Subject.CommonName == w.User &&
		slices.Equal(cert.Subject.Organization, w.Groups) &&
		slices.Equal(cert.DNSNames, w.DNS) &&
		slices.EqualFunc(cert.IPAddresses, w.IPs, net.IP.Equal)
}

func (f Folder) ensureServiceAccountKey() error {
	_, err := readKey(f.ServiceAccountKey())
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; remove the folder %s to begin again", err, f)
	}
	_, err = f.newKey("service-account")
	return err
}

func newTemplate(subject pkix.Name, now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{SerialNumber: serial, Subject: subject, NotBefore: now.Add(-backdate), NotAfter: now.Add(life)}, nil
}

func (f Folder) sign(name string, template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", name, err)
	}
	if err := writePrivate(f.Cert(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (f Folder) newKey(name string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// The SEC 1 form: Kubernetes' token signer reads no other for elliptic curves.
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writePrivate(f.Key(name), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

func (f Folder) load(name string) (*x509.Certificate, crypto.Signer, error) {
	key, err := readKey(f.Key(name))
	if err != nil {
		return nil, nil, err
	}
	block, err := readPEM(f.Cert(name))
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(block)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Cert(name), err)
	}
	if public, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(key.Public()) {
		return nil, nil, fmt.Errorf("%s does not belong to %s: %w", f.Cert(name), f.Key(name), fs.ErrNotExist)
	}
	return cert, key, nil
}

func readKey(path string) (crypto.Signer, error) {
	block, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(block)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func readPEM(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: not PEM", path)
	}
	return block.Bytes, nil
}

// writePrivate replaces path in one step with a file that only its owner reads.
func writePrivate(path string, data []byte) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
