package cluster

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The keys of a Secret.
const (
	protocolKey  = "protocol"
	caKey        = "ca.crt"
	certKey      = "user.crt"
	privateKey   = "user.key"
	skipKey      = "user.skip"
	mechanismKey = "sasl.mechanism"
	userKey      = "user"
	passwordKey  = "password"
)

// The keys of Secrets that were written for the older channels.
const (
	tlsEnabledKey = "tls.enabled"
	usernameKey   = "username"
)

var legacyMechanismKeys = []string{"saslType", "sasltype"}

// The protocols of listeners, as Kafka names them.
const (
	Plaintext     = "PLAINTEXT"
	SASLPlaintext = "SASL_PLAINTEXT"
	SSL           = "SSL"
	SASLSSL       = "SASL_SSL"
)

var protocols = []string{Plaintext, SASLPlaintext, SSL, SASLSSL}

// The mechanisms of SASL that are spoken.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

var mechanisms = []string{Plain, ScramSHA256, ScramSHA512}

// Auth is how to authenticate. The zero value is plain text and nobody.
type Auth struct {
	// Protocol is one of the four that Kafka's listeners have; "" is Plaintext.
	Protocol string
	// CA are roots to trust as PEM; the system's if empty. Cert and Key are the client's own, if it has any.
	CA, Cert, Key []byte
	// Mechanism, User and Password are for protocols with SASL.
	Mechanism, User, Password string
}

// AuthOf reads a Secret's data.
func AuthOf(data map[string][]byte) (Auth, error) {
	a := Auth{Protocol: text(data, protocolKey)}
	if a.Protocol == "" {
		a.Protocol = legacyProtocol(data)
	}
	if a.Protocol == "" {
		return Auth{}, fmt.Errorf("key %s is missing; set it to one of %s", protocolKey, strings.Join(protocols, ", "))
	}
	if !slices.Contains(protocols, a.Protocol) {
		return Auth{}, fmt.Errorf("key %s: %q is no protocol; set it to one of %s", protocolKey, a.Protocol, strings.Join(protocols, ", "))
	}
	if a.sasl() {
		if err := a.readSASL(data); err != nil {
			return Auth{}, err
		}
	}
	if a.tls() {
		if err := a.readTLS(data); err != nil {
			return Auth{}, err
		}
	}
	return a, nil
}

// legacyProtocol is what a Secret without the key means by the others it has; "" if they mean nothing.
func legacyProtocol(data map[string][]byte) string {
	enabled, _ := strconv.ParseBool(text(data, tlsEnabledKey))
	secure := enabled || len(data[caKey]) > 0 || len(data[certKey]) > 0
	user := len(data[userKey]) > 0 || len(data[usernameKey]) > 0
	switch {
	case secure && user:
		return SASLSSL
	case user:
		return SASLPlaintext
	case secure:
		return SSL
	}
	return ""
}

func text(data map[string][]byte, key string) string { return strings.TrimSpace(string(data[key])) }

func (a *Auth) sasl() bool { return a.Protocol == SASLPlaintext || a.Protocol == SASLSSL }

func (a *Auth) tls() bool { return a.Protocol == SSL || a.Protocol == SASLSSL }

func (a *Auth) readSASL(data map[string][]byte) error {
	a.Mechanism = text(data, mechanismKey)
	for _, key := range legacyMechanismKeys {
		if a.Mechanism == "" {
			a.Mechanism = text(data, key)
		}
	}
	if a.Mechanism == "" {
		a.Mechanism = Plain
	}
	if !slices.Contains(mechanisms, a.Mechanism) {
		return fmt.Errorf("key %s: %q is not supported; set it to one of %s", mechanismKey, a.Mechanism, strings.Join(mechanisms, ", "))
	}
	if a.User = string(data[userKey]); a.User == "" {
		a.User = string(data[usernameKey])
	}
	a.Password = string(data[passwordKey])
	if a.User == "" {
		return fmt.Errorf("key %s is missing: protocol %s needs a user", userKey, a.Protocol)
	}
	if a.Password == "" {
		return fmt.Errorf("key %s is missing: protocol %s needs a password", passwordKey, a.Protocol)
	}
	return nil
}

func (a *Auth) readTLS(data map[string][]byte) error {
	a.CA = bytes.Clone(data[caKey])
	if len(a.CA) > 0 && !x509.NewCertPool().AppendCertsFromPEM(a.CA) {
		return fmt.Errorf("key %s holds no certificate as PEM", caKey)
	}
	if a.Protocol != SSL {
		return nil
	}
	if written := text(data, skipKey); written != "" {
		skip, err := strconv.ParseBool(written)
		if err != nil {
			return fmt.Errorf("key %s: %q is neither true nor false", skipKey, written)
		}
		if skip {
			return nil
		}
	}
	a.Cert, a.Key = bytes.Clone(data[certKey]), bytes.Clone(data[privateKey])
	if len(a.Cert) == 0 || len(a.Key) == 0 {
		return fmt.Errorf("keys %s and %s are needed for protocol %s; set %s to true where the servers want no certificate of clients", certKey, privateKey, SSL, skipKey)
	}
	if _, err := tls.X509KeyPair(a.Cert, a.Key); err != nil {
		return fmt.Errorf("keys %s and %s are no certificate and its private key as PEM", certKey, privateKey)
	}
	return nil
}

// config is how TLS is spoken.
func (a *Auth) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(a.CA) > 0 {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(a.CA) {
			return nil, fmt.Errorf("the roots to trust hold no certificate as PEM")
		}
	}
	if len(a.Cert) > 0 {
		pair, err := tls.X509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, fmt.Errorf("the client's certificate does not fit its key")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
