package pki

import (
	"bytes"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func wanted() []Wanted {
	return []Wanted{
		{Name: "apiserver", User: "kube-apiserver", DNS: []string{"localhost", "kubernetes.default.svc"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}},
		{Name: "admin", User: "ebb:admin", Groups: []string{"system:masters"}},
	}
}

func ensure(t *testing.T, f Folder, w []Wanted, now time.Time) {
	t.Helper()
	if err := f.Ensure(w, now); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCertificatesVerifyForTheirPurposeOnly(t *testing.T) {
	f := Folder(t.TempDir())
	ensure(t, f, wanted(), start)
	ca, _, err := f.load("ca")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	server, _, err := f.load("apiserver")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Verify(x509.VerifyOptions{Roots: pool, DNSName: "127.0.0.1", CurrentTime: start}); err != nil {
		t.Errorf("apiserver on 127.0.0.1: %v", err)
	}
	client, _, err := f.load("admin")
	if err != nil {
		t.Fatal(err)
	}
	asServer := x509.VerifyOptions{Roots: pool, CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if _, err := client.Verify(asServer); err == nil {
		t.Error("the admin's certificate also verifies as a server's")
	}
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	f := Folder(t.TempDir())
	ensure(t, f, wanted(), start)
	if err := f.Kubeconfig(filepath.Join(string(f), "kubeconfig"), "admin", "https://127.0.0.1:6443"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(string(f))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 8 {
		t.Fatalf("only %d files", len(entries))
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", e.Name(), info.Mode().Perm())
		}
	}
}

func TestACertificateThatFitsIsLeftAlone(t *testing.T) {
	f := Folder(t.TempDir())
	ensure(t, f, wanted(), start)
	before := read(t, f.Cert("apiserver"))
	ensure(t, f, wanted(), start.Add(200*24*time.Hour))
	if !bytes.Equal(before, read(t, f.Cert("apiserver"))) {
		t.Error("renewed although it fits")
	}
}

func TestACertificateIsRenewedWhenItNoLongerFits(t *testing.T) {
	moved := wanted()
	moved[0].IPs = append(moved[0].IPs, net.IPv4(10, 244, 1, 1))
	promoted := wanted()
	promoted[0].Groups = []string{"system:masters"}
	for name, c := range map[string]struct {
		w   []Wanted
		now time.Time
	}{
		"another address": {moved, start},
		"another group":   {promoted, start},
		"near its end":    {wanted(), start.Add(leafLife - renewBefore + time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			f := Folder(t.TempDir())
			ensure(t, f, wanted(), start)
			before, ca := read(t, f.Cert("apiserver")), read(t, f.CA())
			ensure(t, f, c.w, c.now)
			if bytes.Equal(before, read(t, f.Cert("apiserver"))) {
				t.Error("not renewed")
			}
			if !bytes.Equal(ca, read(t, f.CA())) {
				t.Error("the authority changed too")
			}
		})
	}
}

func TestANewAuthorityReplacesAllCertificates(t *testing.T) {
	f := Folder(t.TempDir())
	ensure(t, f, wanted(), start)
	before := read(t, f.Cert("admin"))
	for _, file := range []string{f.CA(), f.Key("ca")} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	ensure(t, f, wanted(), start)
	if bytes.Equal(before, read(t, f.Cert("admin"))) {
		t.Error("the admin's certificate is still of the old authority")
	}
}

func TestADamagedFileIsNamedWithTheRemedy(t *testing.T) {
	f := Folder(t.TempDir())
	ensure(t, f, wanted(), start)
	if err := os.WriteFile(f.Key("admin"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := f.Ensure(wanted(), start)
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("admin.key: not PEM; remove the folder")) {
		t.Errorf("got %v", err)
	}
}

func TestKubeconfigWorksWithoutTheFolder(t *testing.T) {
	f := Folder(t.TempDir())
	ensure(t, f, wanted(), start)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := f.Kubeconfig(path, "admin", "https://127.0.0.1:6443"); err != nil {
		t.Fatal(err)
	}
	conf, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if conf.Host != "https://127.0.0.1:6443" || len(conf.CertData) == 0 || len(conf.KeyData) == 0 || len(conf.CAData) == 0 {
		t.Errorf("incomplete: %+v", conf.Host)
	}
}
