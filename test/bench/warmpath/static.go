package warmpath

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"text/template"
	"time"

	"ebb.dev/ebb/test/bench/testbed"
)

//go:embed static.yaml.tmpl
var staticText string

var staticTemplate = template.Must(template.New("static").Parse(staticText))

// static is one Envoy with a configuration written by hand.
type static struct {
	Name    string
	Port    int
	Workers int
	// Host and To are where it sends requests.
	Host string
	To   int
	// ServeTLS and DialTLS name the SPIFFE ID of the peer that is let in, and that is expected; empty is plain text.
	ServeTLS, DialTLS string
	// Certificate, Key and Roots are files, if there is TLS.
	Certificate, Key, Roots string
}

// envoy is a static one that runs.
type envoy struct {
	static
	process *os.Process
	ended   chan error
}

// startTimeout bounds the start of an Envoy.
const startTimeout = 15 * time.Second

func (s static) start(ctx context.Context, binary, dir string) (*envoy, error) {
	var text bytes.Buffer
	if err := staticTemplate.Execute(&text, s); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, s.Name+".yaml")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		return nil, err
	}
	logFile, err := os.Create(filepath.Join(dir, s.Name+".log"))
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	cmd := exec.Command(binary, "-c", path, "--concurrency", strconv.Itoa(s.Workers), "--disable-hot-restart", "--log-level", "warning")
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	e := &envoy{static: s, process: cmd.Process, ended: make(chan error, 1)}
	go func() { e.ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = testbed.Until(ctx, "start "+s.Name, func() error {
		conn, err := net.Dial("tcp", e.address())
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		e.stop()
		log, _ := os.ReadFile(logFile.Name())
		return nil, fmt.Errorf("%w: %s", err, log)
	}
	return e, nil
}

func (e *envoy) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(e.Port)) }

func (e *envoy) stop() {
	// Its end is awaited; that it cannot be asked to means that it came already.
	_ = e.process.Signal(syscall.SIGTERM)
	select {
	case <-e.ended:
	case <-time.After(5 * time.Second):
		_ = e.process.Kill()
		<-e.ended
	}
}

// identities makes a CA and a certificate for each SPIFFE ID, with the kind of key that Ebb's have.
func identities(dir string, ids map[string]string) (roots string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		return "", err
	}
	roots = filepath.Join(dir, "roots.pem")
	if err := writePEM(roots, "CERTIFICATE", der); err != nil {
		return "", err
	}
	serial := int64(1)
	for name, id := range ids {
		serial++
		uri, err := url.Parse(id)
		if err != nil {
			return "", err
		}
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return "", err
		}
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(serial), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, URIs: []*url.URL{uri}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, own.Public(), key)
		if err != nil {
			return "", err
		}
		raw, err := x509.MarshalPKCS8PrivateKey(own)
		if err != nil {
			return "", err
		}
		if err := writePEM(filepath.Join(dir, name+".pem"), "CERTIFICATE", der); err != nil {
			return "", err
		}
		if err := writePEM(filepath.Join(dir, name+".key"), "PRIVATE KEY", raw); err != nil {
			return "", err
		}
	}
	return roots, nil
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
