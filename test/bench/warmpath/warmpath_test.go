package warmpath

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"ebb.dev/ebb/deploy/local/cgroup"
	"ebb.dev/ebb/test/bench/testbed"
	"ebb.dev/ebb/test/freeport"
)

func TestTheStaticPairSpeaksMutualTLS(t *testing.T) {
	binary := os.Getenv("EBB_ENVOY")
	if binary == "" {
		binary, _ = filepath.Abs("../../../bin/envoy")
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skipf("needs the pinned Envoy: %v (make bin/envoy)", err)
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }))
	defer app.Close()
	dir := t.TempDir()
	roots, err := identities(dir, map[string]string{"gateway": "spiffe://bench/gateway", "sidecar": "spiffe://bench/sidecar"})
	if err != nil {
		t.Fatal(err)
	}
	host, portText, _ := net.SplitHostPort(app.Listener.Addr().String())
	port, _ := strconv.Atoi(portText)
	inner, outer := freeport.Must(t), freeport.Must(t)
	envoys, err := start(t.Context(), binary, dir,
		static{Name: "sidecar", Port: inner, Workers: 1, Host: host, To: port, ServeTLS: "spiffe://bench/gateway",
			Certificate: filepath.Join(dir, "sidecar.pem"), Key: filepath.Join(dir, "sidecar.key"), Roots: roots},
		static{Name: "gateway", Port: outer, Workers: 1, Host: "127.0.0.1", To: inner, DialTLS: "spiffe://bench/sidecar",
			Certificate: filepath.Join(dir, "gateway.pem"), Key: filepath.Join(dir, "gateway.key"), Roots: roots},
	)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(envoys)
	for _, e := range envoys {
		if session, err := unix.Getsid(e.pid); err != nil || session != e.pid {
			t.Errorf("%s, process %d, is in session %d (%v), want one of its own", e.Name, e.pid, session, err)
		}
	}
	if _, err := testbed.Ask(fmt.Sprintf("127.0.0.1:%d", outer), "h", "/"); err != nil {
		t.Error(err)
	}
	if _, err := testbed.Ask(fmt.Sprintf("127.0.0.1:%d", inner), "h", "/"); err == nil {
		t.Error("the sidecar answers plain text")
	}
}

func TestRatiosAreWithinTheirRound(t *testing.T) {
	r := Result{Ebb: "Ebb, node proxy"}
	for round, factor := range []float64{1, 10, 3} {
		r.Measurements = append(r.Measurements,
			Measurement{Subject: pairOf, Round: round, P50: factor, P99: factor, PerSecond: 1, SteadyCost: Cost{Proxies: factor, Requests: 1000}},
			Measurement{Subject: r.Ebb, Round: round, P50: factor * 1.02, P99: factor * 2, PerSecond: 1, SteadyCost: Cost{Proxies: factor * 1.1, Requests: 1000}},
		)
	}
	met := map[string]bool{}
	for _, target := range Section("warm-kubelet", "a kubelet", r).Targets {
		met[target.What] = target.Met
	}
	if !met["p50 against the static pair"] || met["p99 against the static pair"] || !met["CPU per request against the static pair"] {
		t.Errorf("%v", met)
	}
}

func TestTheGroupThatWeighsAProcessIsFound(t *testing.T) {
	one := cgroup.Hierarchies{V2: "/cg/unified", V1: map[string]string{"cpu": "/cg/cpu,cpuacct", "cpuacct": "/cg/cpu,cpuacct", "pids": "/cg/pids"}}
	for name, c := range map[string]struct {
		of   string
		h    cgroup.Hierarchies
		want string
	}{
		"version 1":            {"8:pids:/ebb/system\n1:cpu,cpuacct:/ebb/system\n0::/\n", one, "/cg/cpu,cpuacct/ebb/system"},
		"version 2":            {"0::/ebb/system\n", cgroup.Hierarchies{V2: "/cg"}, "/cg/ebb/system"},
		"without a controller": {"8:pids:/ebb/system\n0::/\n", one, ""},
		"nothing":              {"", one, ""},
	} {
		if got, ok := weighing(c.of, c.h); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %t", name, got, ok)
		}
	}
}
