package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"sort"
	"time"
)

// Lifetimes. A root signs from the time that everybody has had a day to learn it, until a third of its life is left, and
// is believed to its end.
const (
	RootTTL = 90 * 24 * time.Hour
	SVIDTTL = 24 * time.Hour
	// settle is how long a new root is only believed before it signs.
	settle = SVIDTTL
	// skew allows for clocks that differ.
	skew = 5 * time.Minute
)

// Root is one CA certificate and its key.
type Root struct {
	Certificate *x509.Certificate
	Key         *ecdsa.PrivateKey
}

// NewRoot makes a root of the trust domain that is valid from now.
func NewRoot(trustDomain string, now time.Time) (Root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Root{}, fmt.Errorf("make a root key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return Root{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Ebb root", Organization: []string{trustDomain}},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(RootTTL),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: trustDomain}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return Root{}, fmt.Errorf("sign a root: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return Root{}, fmt.Errorf("read back a root: %w", err)
	}
	return Root{Certificate: certificate, Key: key}, nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

// born is when a root was made.
func born(r Root) time.Time { return r.Certificate.NotBefore.Add(skew) }

// Rotation is what to do with the roots at a time.
type Rotation struct {
	// Keep are the roots to believe, oldest first.
	Keep []Root
	// Signer is the one to sign with.
	Signer Root
	// Make says that a new root is due.
	Make bool
	// Again is when to look next.
	Again time.Time
}

// Rotate decides from the roots and the time alone: expired roots go; a new one is due when the youngest has a third of
// its life left; the youngest signs once it has been believed for a day, or at once if it is the only one.
func Rotate(roots []Root, now time.Time) Rotation {
	var out Rotation
	for _, root := range roots {
		if now.Before(root.Certificate.NotAfter) {
			out.Keep = append(out.Keep, root)
		}
	}
	sort.Slice(out.Keep, func(i, j int) bool { return born(out.Keep[i]).Before(born(out.Keep[j])) })
	if len(out.Keep) == 0 {
		return Rotation{Make: true, Again: now}
	}
	youngest := out.Keep[len(out.Keep)-1]
	out.Signer = out.Keep[0]
	due := youngest.Certificate.NotAfter.Add(-RootTTL / 3)
	out.Make = !now.Before(due)
	out.Again = due
	if gone := out.Keep[0].Certificate.NotAfter; gone.Before(out.Again) {
		out.Again = gone
	}
	for _, root := range out.Keep {
		if !now.Before(born(root).Add(settle)) {
			out.Signer = root
		} else if signs := born(root).Add(settle); signs.Before(out.Again) {
			out.Again = signs
		}
	}
	return out
}

const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "EC PRIVATE KEY"
)

// EncodeRoots writes roots with their keys as PEM, for a Keeper.
func EncodeRoots(roots []Root) ([]byte, error) {
	var out []byte
	for _, root := range roots {
		key, err := x509.MarshalECPrivateKey(root.Key)
		if err != nil {
			return nil, fmt.Errorf("encode a root key: %w", err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: root.Certificate.Raw})...)
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: key})...)
	}
	return out, nil
}

// DecodeRoots undoes EncodeRoots.
func DecodeRoots(data []byte) ([]Root, error) {
	var roots []Root
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		switch block.Type {
		case certificateBlock:
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("root certificate: %w", err)
			}
			roots = append(roots, Root{Certificate: certificate})
		case keyBlock:
			key, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("root key: %w", err)
			}
			if len(roots) == 0 || roots[len(roots)-1].Key != nil {
				return nil, errors.New("a root key without its certificate before it")
			}
			roots[len(roots)-1].Key = key
		default:
			return nil, fmt.Errorf("unexpected PEM block %q", block.Type)
		}
	}
	for _, root := range roots {
		if root.Key == nil {
			return nil, errors.New("a root certificate without its key")
		}
		if public, ok := root.Certificate.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(root.Key.Public()) {
			return nil, errors.New("a root key that does not fit its certificate")
		}
	}
	return roots, nil
}
