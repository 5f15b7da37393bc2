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
	"path/filepath"
	"slices"
	"strconv"
	"text/template"
	"time"

	"ebb.dev/ebb/test/bench/daemon"
	"ebb.dev/ebb/test/bench/testbed"
)

//go:embed static.yaml.tmpl
var staticText string

var staticTemplate = template.Must(template.New("static").Funcs(template.FuncMap{"text": quoted}).Parse(staticText))

// quoted is a file's text as YAML.
func quoted(path string) (string, error) {
	data, err := os.ReadFile(path)
	return strconv.Quote(string(data)), err
}

// static is one Envoy with a configuration written by hand.
type static struct {
	Name    string
	Port    int
	Workers int
	// Listen is the address it listens on; empty is loopback.
	Listen string
	// Host and To are where it sends requests.
	Host string
	To   int
	// ServeTLS and DialTLS name the SPIFFE ID of the peer that is let in, and that is expected; empty is plain text.
	ServeTLS, DialTLS string
	// Certificate, Key and Roots are files, if there is TLS.
	Certificate, Key, Roots string
}

// envoy is a static one that runs: as a process of ours, or in a pod.
type envoy struct {
	static
	// pid is its process, host where it is reached.
	pid  int
	host string
	// run is nil where it is in a pod.
	run *daemon.Process
}

// config is its configuration.
func (s static) config() (string, error) {
	var text bytes.Buffer
	err := staticTemplate.Execute(&text, s)
	return text.String(), err
}

// startTimeout bounds the start of an Envoy.
const startTimeout = 15 * time.Second

// start starts static ones as daemons, with their configurations and what they say in files of a folder.
func start(ctx context.Context, binary, dir string, all ...static) (out []*envoy, err error) {
	defer func() {
		if err != nil {
			stop(out)
		}
	}()
	for _, s := range all {
		e, err := s.start(binary, dir)
		if err != nil {
			return out, err
		}
		out = append(out, e)
		if err := e.listens(ctx); err != nil {
			log, _ := os.ReadFile(e.log(dir)) // what it says of itself is more than that it does not listen
			return out, fmt.Errorf("%w: %s", err, log)
		}
	}
	return out, nil
}

func (s static) start(binary, dir string) (*envoy, error) {
	text, err := s.config()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, s.Name+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(s.log(dir))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	run, err := daemon.Start(log, binary, "-c", path, "--concurrency", strconv.Itoa(s.Workers), "--disable-hot-restart", "--log-level", "warning")
	if err != nil {
		return nil, err
	}
	return &envoy{static: s, pid: run.PID, host: "127.0.0.1", run: run}, nil
}

func (s static) log(dir string) string { return filepath.Join(dir, s.Name+".log") }

// stop ends those that are processes of ours.
func stop(all []*envoy) {
	for _, e := range all {
		if e.run != nil {
			e.run.Stop()
		}
	}
}

// startInPod runs it as the sidecar of a pod like a revision's: what a sidecar has to bear there, the other one has too. Its process is the one
// that was not among those before.
func (s static) startInPod(ctx context.Context, bed *testbed.Bed, revision, name string, before []int) (*envoy, error) {
	s.Listen = "0.0.0.0"
	config, err := s.config()
	if err != nil {
		return nil, err
	}
	host, err := bed.RunBeside(ctx, revision, name, config)
	if err != nil {
		return nil, err
	}
	e := &envoy{static: s, host: host}
	if err := e.listens(ctx); err != nil {
		return nil, err
	}
	after, err := sidecarEnvoys()
	if err != nil {
		return nil, err
	}
	after = slices.DeleteFunc(after, func(pid int) bool { return slices.Contains(before, pid) })
	if len(after) != 1 {
		return nil, fmt.Errorf("%d Envoys came with the pod of the static sidecar", len(after))
	}
	e.pid = after[0]
	return e, nil
}

// listens waits until it does.
func (e *envoy) listens(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return testbed.Listens(ctx, "start "+e.Name, e.address())
}

func (e *envoy) address() string { return net.JoinHostPort(e.host, strconv.Itoa(e.Port)) }

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
