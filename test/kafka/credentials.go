package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Credentials are what the secure listeners know, and what clients need for them.
type Credentials struct {
	// CA is the authority of all certificates, Cert and Key are a client's; PEM, the key as PKCS #8.
	CA, Cert, Key []byte
	// User and Password are known by SASL PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
	User, Password string

	keystore, truststore string
}

func newCredentials(dir string) (*Credentials, error) {
	c := &Credentials{User: "alice", Password: "wonderland", keystore: filepath.Join(dir, "server.pem"), truststore: filepath.Join(dir, "ca.pem")}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	ca := certificate(1, "ebb test authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make an authority: %w", err)
	}
	c.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	server := certificate(2, "localhost")
	server.DNSNames, server.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	serverCert, serverKey, err := issue(server, ca, key)
	if err != nil {
		return nil, err
	}
	if c.Cert, c.Key, err = issue(certificate(3, "client"), ca, key); err != nil {
		return nil, err
	}
	if err := os.WriteFile(c.keystore, append(serverKey, serverCert...), 0o600); err != nil {
		return nil, fmt.Errorf("write Kafka's certificate: %w", err)
	}
	if err := os.WriteFile(c.truststore, c.CA, 0o600); err != nil {
		return nil, fmt.Errorf("write Kafka's authority: %w", err)
	}
	return c, nil
}

func certificate(serial int64, name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func issue(template, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (cert, key []byte, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &own.PublicKey, caKey)
	if err != nil {
		return nil, nil, fmt.Errorf("make the certificate of %s: %w", template.Subject.CommonName, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return nil, nil, fmt.Errorf("write a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil
}

// settings are those of the broker for its secure listeners.
func (c *Credentials) settings() map[string]string {
	out := map[string]string{
		"ssl.keystore.type": "PEM", "ssl.keystore.location": c.keystore, "ssl.truststore.type": "PEM", "ssl.truststore.location": c.truststore,
		"listener.name.tls.ssl.client.auth": "required",
	}
	for _, listener := range []string{"sasl", "saslplain"} {
		prefix := "listener.name." + listener + "."
		out[prefix+"sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
		out[prefix+"plain.sasl.jaas.config"] = fmt.Sprintf("org.apache.kafka.common.security.plain.PlainLoginModule required user_%s=%q;", c.User, c.Password)
		for _, scram := range []string{"scram-sha-256", "scram-sha-512"} {
			out[prefix+scram+".sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		}
	}
	return out
}

// scram are arguments that make the user known as the storage is formatted.
func (c *Credentials) scram() []string {
	var out []string
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
		out = append(out, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, c.User, c.Password))
	}
	return out
}
