package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/deploy/local/platform"
	"ebb.dev/ebb/deploy/local/state"
)

// ownGroup reports whether the cgroup at path is this machine's.
func (m *machine) ownGroup(path string) bool {
	dir, err := state.Find(m.state)
	return err == nil && strings.HasSuffix(path, "ebb-"+dir.ID())
}

func (m *machine) status() platform.Status {
	m.t.Helper()
	s, err := platform.GetStatus(m.state)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

func (m *machine) pidOf(name string) int {
	m.t.Helper()
	for _, c := range m.status().Components {
		if c.Name == name {
			return c.PID
		}
	}
	m.t.Fatalf("no component %s", name)
	return 0
}

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: app:1
        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: settings, mountPath: /settings}]
      volumes: [{name: settings, configMap: {name: settings}}]
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {selector: {app: app}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting: good morning}
`

// TestLocalPlatform takes one platform through its life; each part is a promise of `ebb up`.
func TestLocalPlatform(t *testing.T) {
	m := newMachine(t)
	before := sysctls(m)
	m.up()
	m.startRegistry()

	t.Run("ItsStatusIsKnown", func(t *testing.T) {
		out, err := m.ebb("status", "-o", "json")
		var s platform.Status
		if err != nil || json.Unmarshal([]byte(out), &s) != nil || s.State != "ready" || s.Node != "kubelet" || len(s.Components) < 3 {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, c := range s.Components {
			if c.State != "ready" || c.RSS == 0 || c.PID == 0 {
				t.Errorf("%+v", c)
			}
		}
		if out, err := m.ebb("logs", "kubernetes", "--tail", "3"); err != nil || strings.Count(out, "\n") != 3 {
			t.Errorf("logs: %v %q", err, out)
		}
	})
	t.Run("ASecondUpIsRefused", func(t *testing.T) {
		out, err := m.ebb("up", "--bin", m.bin, "--http-port", "18081")
		if err == nil || !strings.Contains(out, "already up in "+m.state) || !strings.Contains(out, "ebb down") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("NobodyIsAnonymous", func(t *testing.T) {
		port := strings.TrimPrefix(m.inside("grep", "server:", filepath.Join(m.state, "kubeconfig")), "    server: https://")
		out, _ := m.command("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "https://"+strings.TrimSpace(port)+"/readyz").Output()
		if string(out) != "401" {
			t.Errorf("without a certificate: %s", out)
		}
	})
	m.deploy()
	t.Run("LogsExecAndVolumesWork", func(t *testing.T) {
		if out := m.kubectl("logs", "deploy/app"); !strings.Contains(out, "serving") {
			t.Errorf("logs: %q", out)
		}
		if out := m.kubectl("exec", "deploy/app", "--", "/app", "cat", "/settings/greeting"); out != "good morning" {
			t.Errorf("exec: %q", out)
		}
		token := m.kubectl("exec", "deploy/app", "--", "/app", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
		if strings.Count(token, ".") != 2 {
			t.Errorf("token: %q", token)
		}
	})
	t.Run("ServicesAreFoundByName", func(t *testing.T) {
		m.eventually("by name from a pod", func() error {
			out, err := m.tryKubectl("exec", "deploy/app", "--", "/app", "get", "http://app.default.svc.cluster.local/x")
			return greeted(out, err)
		})
		m.waitApp()
	})
	t.Run("PortForwardWorks", func(t *testing.T) { m.portForward(t) })
	t.Run("DownLeavesNothing", func(t *testing.T) {
		if out, err := m.ebb("down"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if left := m.traces(); left != "" {
			t.Errorf("left:\n%s", left)
		}
		if after := sysctls(m); after != before {
			t.Errorf("sysctls before %q, after %q", before, after)
		}
		if s := m.status(); s.State != "down" {
			t.Errorf("status: %s", s.State)
		}
	})
	t.Run("ASecondUpFindsEverything", func(t *testing.T) {
		start := time.Now()
		// containerd took the traces of its shims, where the shell asks for any, for their addresses: no pod started.
		m.env = []string{"GODEBUG=inittrace=1"}
		m.up()
		m.env = nil
		t.Logf("second up took %s", time.Since(start).Round(time.Millisecond))
		m.waitApp()
	})
	t.Run("AKilledSupervisorTakesItsProcessesAlong", func(t *testing.T) {
		kubernetes := m.pidOf("kubernetes")
		m.kill("supervisor")
		m.eventually("kubernetes is gone", func() error { return gone(kubernetes) })
		if s := m.status(); s.State != "crashed" {
			t.Errorf("status: %s", s.State)
		}
		if out, err := m.ebb("down"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if left := m.traces(); left != "" {
			t.Errorf("left:\n%s", left)
		}
		if after := sysctls(m); after != before {
			t.Errorf("sysctls before %q, after %q", before, after)
		}
	})
	t.Run("UpAfterACrashCleansUpFirst", func(t *testing.T) {
		m.up()
		m.waitApp()
		m.kill("supervisor")
		m.up()
		m.waitApp()
	})
	t.Run("ACrashedComponentComesBack", func(t *testing.T) {
		old := m.pidOf("kubernetes")
		m.kill("kubernetes")
		m.eventually("kubernetes runs again", func() error {
			if out, err := m.tryKubectl("get", "--raw", "/readyz"); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			if m.pidOf("kubernetes") == old {
				return errors.New("it is the old one")
			}
			return nil
		})
		m.waitApp()
	})
	t.Run("PurgeRemovesTheFolder", func(t *testing.T) {
		if out, err := m.ebb("down", "--purge"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if _, err := os.Stat(m.state); !os.IsNotExist(err) {
			t.Error("the folder is still there")
		}
		if left := m.traces(); left != "" {
			t.Errorf("left:\n%s", left)
		}
		if out, err := m.ebb("down"); err != nil || !strings.Contains(out, "nothing is up") {
			t.Errorf("down of nothing: %v %s", err, out)
		}
	})
}

func (m *machine) deploy() {
	m.t.Helper()
	file := filepath.Join(m.t.TempDir(), "app.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.kubectl("apply", "-f", file)
	m.waitApp()
}

// waitApp returns when both replicas answer through their Service.
func (m *machine) waitApp() {
	m.t.Helper()
	m.kubectl("rollout", "status", "deployment/app", "--timeout=60s")
	address := m.kubectl("get", "service", "app", "-o", "jsonpath={.spec.clusterIP}")
	m.eventually("the app answers", func() error {
		out, err := m.command("curl", "-s", "--max-time", "2", "http://"+address+"/").CombinedOutput()
		return greeted(string(out), err)
	})
}

// greeted says whether a command's output is an app's greeting.
func greeted(out string, err error) error {
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if !strings.HasPrefix(out, "hello from app-") {
		return fmt.Errorf("it says %q", out)
	}
	return nil
}

// gone says whether a process has ended.
func gone(pid int) error {
	if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
		return fmt.Errorf("process %d runs", pid)
	}
	return nil
}

func (m *machine) kill(component string) {
	m.t.Helper()
	process, err := os.FindProcess(m.pidOf(component))
	if err != nil {
		m.t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		m.t.Fatal(err)
	}
	m.eventually(component+" is gone", func() error { return gone(process.Pid) })
}

func (m *machine) portForward(t *testing.T) {
	cmd := m.command(filepath.Join(m.bin, "ebb-kube"), "kubectl", "--kubeconfig", filepath.Join(m.state, "kubeconfig"),
		"port-forward", "deployment/app", "19090:8080")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	m.eventually("the forwarded port answers", func() error {
		out, err := m.command("curl", "-s", "--max-time", "2", "http://127.0.0.1:19090/").CombinedOutput()
		return greeted(string(out), err)
	})
}

func TestAPortInUseIsNamedWithItsHolderAndTheRemedy(t *testing.T) {
	bin := binaries(t, "ebb-kube")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go http.Serve(l, http.NotFoundHandler())
	port := l.Addr().(*net.TCPAddr).Port
	err = platform.Up(t.Context(), platform.Options{State: t.TempDir(), Bin: bin, HTTPPort: port, Node: platform.NodeLight})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"port " + strconv.Itoa(port) + " is in use by ", "(pid " + strconv.Itoa(os.Getpid()) + ")", "--http-port"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestAMissingProgramIsNamedWithTheRemedy(t *testing.T) {
	err := platform.Up(t.Context(), platform.Options{State: t.TempDir(), Bin: t.TempDir(), Node: platform.NodeLight})
	if err == nil || !strings.Contains(err.Error(), "make bin/ebb-kube") {
		t.Errorf("got %v", err)
	}
}

func TestKubectlArgumentsAreLeftAlone(t *testing.T) {
	for _, c := range []struct{ in, folder, rest string }{
		{"--state /x get pods", "/x", "get pods"},
		{"--state=/x get pods", "/x", "get pods"},
		{"exec p -- --state /x", "", "exec p -- --state /x"},
	} {
		folder, rest, err := takeState(strings.Fields(c.in))
		if err != nil || strings.Join(rest, " ") != c.rest || (c.folder != "" && folder != c.folder) {
			t.Errorf("%q: %q %q %v", c.in, folder, rest, err)
		}
	}
	if _, _, err := takeState([]string{"--state"}); err == nil {
		t.Error("--state without a folder was accepted")
	}
}

func TestFollowedLogsShowWholeLinesOnceAndSurviveTruncation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(r *logReader, n int) string {
		var b strings.Builder
		if err := r.print(&b, n); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	r := &logReader{path: path, prefix: "a | "}
	write("1\n2\n3\nhal")
	if got := read(r, 2); got != "a | 2\na | 3\n" {
		t.Errorf("first: %q", got)
	}
	write("1\n2\n3\nhalf\n")
	if got := read(r, -1); got != "a | half\n" {
		t.Errorf("then: %q", got)
	}
	write("new\n")
	if got := read(r, -1); got != "a | new\n" {
		t.Errorf("after truncation: %q", got)
	}
}
