package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	mathrand "math/rand/v2"
	"time"
)

// SVID is a certificate chain with its key.
type SVID struct {
	// Chain is DER, leaf first.
	Chain    [][]byte
	Key      *ecdsa.PrivateKey
	ID       string
	NotAfter time.Time
	issued   time.Time
}

// request makes a key and a CSR for it.
func request() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make a CSR: %w", err)
	}
	return key, csr, nil
}

// renewAt is when to renew: at half of the life, up to a tenth of it earlier, so that many agents do not ask at once.
func (s *SVID) renewAt() time.Time {
	life := s.NotAfter.Sub(s.issued)
	jitter := time.Duration(mathrand.Int64N(int64(life/10) + 1))
	return s.issued.Add(life/2 - jitter)
}

func (s *SVID) chainPEM() []byte { return certificatesPEM(s.Chain) }

func (s *SVID) keyPEM() ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(s.Key)
	if err != nil {
		return nil, fmt.Errorf("encode the key of %s: %w", s.ID, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func certificatesPEM(der [][]byte) []byte {
	var out []byte
	for _, certificate := range der {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})...)
	}
	return out
}
