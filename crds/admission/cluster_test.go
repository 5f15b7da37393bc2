package admission

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// cluster is a real API server with a store, and nothing else.
type cluster struct {
	binary     string
	kubeconfig string
	client     *rest.Config
}

// startCluster runs the API server for this test. It needs ebb-kube, built beside the repository's other binaries or named by EBB_KUBE.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	binary := os.Getenv("EBB_KUBE")
	if binary == "" {
		binary = filepath.Join("..", "..", "bin", "ebb-kube")
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skipf("no Kubernetes to ask: %v; build cmd/ebb-kube to bin/ebb-kube or set EBB_KUBE", err)
	}
	dir := t.TempDir()
	address := freeAddress(t)
	ca := newAuthority(t, dir)
	admin := ca.issue(t, "admin", "system:masters")
	server := ca.issue(t, "localhost", "")
	c := &cluster{binary: binary, kubeconfig: filepath.Join(dir, "kubeconfig")}
	writeKubeconfig(t, c.kubeconfig, "https://"+address, ca.certFile, admin)
	if c.client, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig); err != nil {
		t.Fatal(err)
	}
	c.client.QPS = -1
	// The socket's name must be short, which the test's folder may not be.
	socket, err := os.MkdirTemp("", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(socket) })
	configuration := filepath.Join(dir, "config.json")
	if err := os.WriteFile(configuration, encode(t, map[string]any{
		"etcd": map[string]any{"dataDir": filepath.Join(dir, "etcd"), "socket": filepath.Join(socket, "s")},
		"apiServer": map[string]any{
			"listen": []string{address}, "serviceCIDR": "10.96.0.0/16",
			"certFile": server.certFile, "keyFile": server.keyFile, "clientCAFile": ca.certFile,
			"serviceAccountKeyFile": ca.keyFile, "serviceAccountIssuer": "https://kubernetes.default.svc",
			"kubeletCAFile": ca.certFile, "kubeletCertFile": admin.certFile, "kubeletKeyFile": admin.keyFile,
			"readyKubeconfig": c.kubeconfig,
		},
	}), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(t, configuration, dir)
	return c
}

// run starts the process, waits until it is ready, and ends it with the test.
func (c *cluster) run(t *testing.T, configuration, dir string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(c.binary, "run", configuration)
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- process.Wait() }()
	t.Cleanup(func() {
		process.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(20 * time.Second):
			process.Process.Kill()
			<-exited
		}
		log.Close()
	})
	client, err := rest.HTTPClientFor(c.client)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.client.Host+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-exited:
			exited <- err
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("the API server ended: %v\n%s", err, text)
		case <-ctx.Done():
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("the API server is not ready: %v\n%s", ctx.Err(), text)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// kubectl runs the kubectl that is part of the binary and returns what it prints, errors included.
func (c *cluster) kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.binary, append([]string{"kubectl", "--kubeconfig", c.kubeconfig}, args...)...)
	command.Stdin = bytes.NewBufferString(stdin)
	out, err := command.CombinedOutput()
	if err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// authority issues the certificates of one test.
type authority struct {
	identity
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

type identity struct{ certFile, keyFile string }

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	a := &authority{dir: dir, cert: template, key: key}
	a.identity = a.write(t, "ca", template, key)
	return a
}

// issue returns a certificate for a name: of a client in a group, or of a server on this machine.
func (a *authority) issue(t *testing.T, name, group string) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if group != "" {
		template.Subject.Organization = []string{group}
	}
	return a.write(t, name, template, key)
}

func (a *authority) write(t *testing.T, name string, template *x509.Certificate, key *ecdsa.PrivateKey) identity {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := identity{certFile: filepath.Join(a.dir, name+".crt"), keyFile: filepath.Join(a.dir, name+".key")}
	for file, block := range map[string]*pem.Block{
		files.certFile: {Type: "CERTIFICATE", Bytes: der}, files.keyFile: {Type: "EC PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func writeKubeconfig(t *testing.T, file, server, caFile string, user identity) {
	t.Helper()
	if err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: server, CertificateAuthority: caFile}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {ClientCertificate: user.certFile, ClientKey: user.keyFile}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u", Namespace: "default"}},
		CurrentContext: "x",
	}, file); err != nil {
		t.Fatal(err)
	}
}
