package rootless

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/test/freeport"
)

// TestMain is also the program inside the namespaces of TestInsideThereIsAnEmptyNetworkAndEgressLeadsOut.
func TestMain(m *testing.M) {
	if url := os.Getenv("EBB_TEST_INSIDE"); url != "" {
		if err := inside(url, os.Getenv("EBB_TEST_SOCKET"), os.Getenv("EBB_TEST_RESOLVER")); err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func egress(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ebbe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go ServeEgress(l)
	return path
}

func get(socket, url string) (string, error) {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return Dial(ctx, socket, network, address)
	}}}
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return string(data), err
}

func server(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "from outside") }))
	t.Cleanup(s.Close)
	return s.URL
}

func TestAConnectionIsPassedNotCopied(t *testing.T) {
	if got, err := get(egress(t), server(t)); err != nil || got != "from outside" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAFailedDialSaysWhy(t *testing.T) {
	socket := egress(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	if _, err := Dial(context.Background(), socket, "tcp", closed); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
	if _, err := Dial(context.Background(), socket, "unix", "/x"); err == nil || !strings.Contains(err.Error(), "want NETWORK ADDRESS") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Dial(ctx, socket, "tcp", closed); err == nil {
		t.Error("dialled after the context ended")
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add("tcp example.com:443\n")
	f.Add("tcp  \n")
	f.Add("udp [::1]:53\n")
	f.Fuzz(func(t *testing.T, line string) {
		network, address, err := parseRequest(line)
		if err == nil && (!networks[network] || address == "") {
			t.Errorf("%q: %q %q", line, network, address)
		}
	})
}

func inside(url, socket, resolver string) error {
	if err := SetUp(resolver); err != nil {
		return err
	}
	if _, err := http.Get(url); err == nil {
		return os.ErrExist
	}
	data, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return err
	}
	text, err := get(socket, url)
	if err != nil {
		return err
	}
	os.Stdout.WriteString(string(data) + text + " as " + strconv.Itoa(os.Geteuid()))
	return nil
}

func TestInsideThereIsAnEmptyNetworkAndEgressLeadsOut(t *testing.T) {
	if err := Allowed(); err != nil {
		t.Skip(err)
	}
	resolver := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolver, []byte("nameserver 10.244.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EBB_TEST_INSIDE="+server(t), "EBB_TEST_SOCKET="+egress(t), "EBB_TEST_RESOLVER="+resolver)
	Enter(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "nameserver 10.244.0.1\nfrom outside as 0" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTheEdgeHandsBytesToTheSocketInside(t *testing.T) {
	envoy := os.Getenv("EBB_ENVOY")
	if envoy == "" {
		envoy = "../../../bin/envoy"
	}
	if _, err := os.Stat(envoy); err != nil {
		t.Skipf("no Envoy: make bin/envoy (%v)", err)
	}
	dir, err := os.MkdirTemp("", "ebbe")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	gateway := filepath.Join(dir, "http.sock")
	l, err := net.Listen("unix", gateway)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "gateway for "+r.Host) }))
	port := freeport.Must(t)
	config, err := Edge(port, gateway, filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "edge.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(envoy, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(port), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "shop.default.localhost"
	var resp *http.Response
	for deadline := time.Now().Add(10 * time.Second); ; {
		if resp, err = http.DefaultClient.Do(req); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	defer resp.Body.Close()
	if data, _ := io.ReadAll(resp.Body); string(data) != "gateway for shop.default.localhost" {
		t.Errorf("%d %q", resp.StatusCode, data)
	}
}
