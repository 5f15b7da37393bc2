package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ebb.dev/ebb/deploy/local/platform"
	"ebb.dev/ebb/test/freeport"
)

// unprivileged is a user without rights: this one, or nobody if this one is root.
type unprivileged struct {
	t          *testing.T
	self, home string
	attributes *syscall.SysProcAttr
}

func newUnprivileged(t *testing.T) *unprivileged {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("/tmp", "ebbr")
	if err != nil {
		t.Fatal(err)
	}
	u := &unprivileged{t: t, self: self, home: home, attributes: &syscall.SysProcAttr{}}
	t.Cleanup(func() { os.RemoveAll(home) })
	if os.Geteuid() != 0 {
		return u
	}
	const nobody = 65534
	u.attributes.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	// The go command's folders are closed to others.
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	u.self = filepath.Join(home, "ebb")
	if err := os.WriteFile(u.self, data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{home, u.self} {
		if err := os.Chown(p, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

func (u *unprivileged) ebb(command string, args ...string) (string, error) {
	cmd := exec.Command(u.self, append([]string{command, "--state", filepath.Join(u.home, "s")}, args...)...)
	cmd.Env = append(os.Environ(), "EBB_TEST_ROLE=ebb", "HOME="+u.home)
	cmd.Dir, cmd.SysProcAttr = u.home, u.attributes
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (u *unprivileged) status() platform.Status {
	u.t.Helper()
	out, _ := u.ebb("status", "-o", "json")
	var s platform.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		u.t.Fatalf("%v\n%s", err, out)
	}
	return s
}

// running counts the processes that name this user's folder.
func (u *unprivileged) running() int {
	n := 0
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range commands {
		if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), filepath.Join(u.home, "s")) {
			n++
		}
	}
	return n
}

func TestAnUnprivilegedUserGetsANetworkOfTheirOwn(t *testing.T) {
	bin := binaries(t, "ebb-kube", "ebb-sidecar", "envoy")
	u := newUnprivileged(t)
	port := freeport.Must(t)
	up := []string{"--detach", "--bin", bin, "--http-port", strconv.Itoa(port), "--node=light"}
	out, err := u.ebb("up", up...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { u.ebb("down") })
	s := u.status()
	launcher := 0
	for _, c := range s.Components {
		if c.Name == "launcher" {
			launcher = c.PID
		}
	}
	if launcher == 0 {
		t.Skip("user namespaces are not allowed here: the light node runs among the machine's processes")
	}
	if s.State != "ready" || s.Node != "light" {
		t.Fatalf("%+v", s)
	}
	t.Run("TheHostReachesTheAPIServer", func(t *testing.T) {
		kubectl := exec.Command(filepath.Join(bin, "ebb-kube"), "kubectl", "--kubeconfig", filepath.Join(u.home, "s", "kubeconfig"),
			"get", "namespaces", "ebb-system", "knative-serving", "knative-eventing", "-o", "name")
		if out, err := kubectl.CombinedOutput(); err != nil || strings.Count(string(out), "namespace/") != 3 {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("TheMachinesNetworkIsUntouched", func(t *testing.T) {
		here, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range s.Components {
			there, err := os.Readlink("/proc/" + strconv.Itoa(c.PID) + "/ns/net")
			if err != nil {
				continue
			}
			if outside := c.Name == "launcher" || c.Name == "edge"; (there == here) != outside {
				t.Errorf("%s is in %s, this test in %s", c.Name, there, here)
			}
		}
	})
	t.Run("DownLeavesNoProcess", func(t *testing.T) {
		if out, err := u.ebb("down"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if n := u.running(); n != 0 {
			t.Errorf("%d processes are left", n)
		}
	})
	t.Run("AKilledLauncherTakesEverythingAlong", func(t *testing.T) {
		if out, err := u.ebb("up", up...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, c := range u.status().Components {
			if c.Name == "launcher" {
				syscall.Kill(c.PID, syscall.SIGKILL)
			}
		}
		deadline := time.Now().Add(10 * time.Second)
		for u.running() > 0 {
			if time.Now().After(deadline) {
				t.Fatalf("%d processes are left", u.running())
			}
			time.Sleep(20 * time.Millisecond)
		}
		if out, err := u.ebb("down"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if s := u.status(); s.State != "down" {
			t.Errorf("status: %s", s.State)
		}
	})
}
