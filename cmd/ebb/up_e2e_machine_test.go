package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"ebb.dev/ebb/cmd/ebb/agents"
	"ebb.dev/ebb/deploy/image"
)

// TestMain makes the test binary three programs: the tests, the ebb they run, and the image registry that pods pull from.
func TestMain(m *testing.M) {
	switch os.Getenv("EBB_TEST_ROLE") {
	case "ebb":
		// Kubernetes and the node alone: Ebb's own processes have their own tests, and one of them would serve images where
		// startRegistry does.
		localComponents = nil
		main()
	case "registry":
		serveRegistry(os.Args[1], os.Args[2])
	case "images":
		store, err := image.Open(os.Args[2])
		if err != nil {
			log.Fatal(err)
		}
		log.Fatal(agents.ServeImages(context.Background(), os.Args[1], image.NewRegistry(store)))
	default:
		os.Exit(m.Run())
	}
}

// machine is a network namespace with a state folder: several tests, and the developer's own platform, may be up at a time.
type machine struct {
	t     *testing.T
	netns string
	state string
	bin   string
	// env is what the next commands have beside our environment.
	env []string
}

// binaries is the folder with the built parts, or the reason to skip.
func binaries(t *testing.T, needed ...string) string {
	t.Helper()
	bin := os.Getenv("EBB_BIN")
	if bin == "" {
		bin = "../../bin"
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range needed {
		if _, err := os.Stat(filepath.Join(bin, n)); err != nil {
			t.Skipf("%s is not built: make platform", filepath.Join(bin, n))
		}
	}
	return bin
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a kubelet node needs root")
	}
	bin := binaries(t, "ebb-kube", "containerd", "containerd-shim-runc-v2", "ebb-pause")
	for _, tool := range []string{"ip", "nsenter", "iptables", "runc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	m := &machine{t: t, netns: fmt.Sprintf("ebbtest%d", os.Getpid()), bin: bin}
	if out, err := exec.Command("ip", "netns", "add", m.netns).CombinedOutput(); err != nil {
		t.Skipf("network namespaces are not allowed here: %s", out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "delete", m.netns).Run() })
	m.inside("ip", "link", "set", "lo", "up")
	// Short, so that sockets are in the folder.
	dir, err := os.MkdirTemp("/tmp", "ebbt")
	if err != nil {
		t.Fatal(err)
	}
	m.state = dir
	t.Cleanup(func() {
		if t.Failed() {
			m.said()
		}
		m.ebb("down", "--purge")
		os.RemoveAll(dir)
	})
	return m
}

// said logs how the logs of what runs the node end.
func (m *machine) said() {
	const most = 8 << 10
	for _, name := range []string{"kubernetes", "containerd", "supervisor"} {
		log, err := os.ReadFile(filepath.Join(m.state, "logs", name+".log"))
		if err != nil {
			continue
		}
		m.t.Logf("%s said, in the end:\n%s", name, log[max(len(log)-most, 0):])
	}
}

// command is a program in the machine's network.
func (m *machine) command(name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=/run/netns/" + m.netns, name}, args...)...)
}

func (m *machine) inside(name string, args ...string) string {
	m.t.Helper()
	out, err := m.command(name, args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ebb runs this program's command on the machine's state folder.
func (m *machine) ebb(command string, args ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := m.command(self, append([]string{command, "--state", m.state}, args...)...)
	cmd.Env = append(os.Environ(), append(m.env, "EBB_TEST_ROLE=ebb")...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

func (m *machine) up(args ...string) {
	m.t.Helper()
	args = append([]string{"--detach", "--bin", m.bin, "--http-port", "18080", "--node=kubelet"}, args...)
	if out, err := m.ebb("up", args...); err != nil {
		m.t.Fatalf("up: %v\n%s", err, out)
	}
}

// kubectl fails the test if the command does.
func (m *machine) kubectl(args ...string) string {
	m.t.Helper()
	out, err := m.tryKubectl(args...)
	if err != nil {
		m.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (m *machine) tryKubectl(args ...string) (string, error) {
	cmd := m.command(filepath.Join(m.bin, "ebb-kube"), append([]string{"kubectl", "--kubeconfig", filepath.Join(m.state, "kubeconfig")}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// eventually retries f until it returns no error or the time is over.
func (m *machine) eventually(what string, f func() error) {
	m.t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// startRegistry serves an image of the test app as app:1 where the platform's registry is expected.
func (m *machine) startRegistry() {
	m.t.Helper()
	app := filepath.Join(m.t.TempDir(), "app")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", app, "./testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		m.t.Fatalf("build the app: %v\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := m.command(self, "127.0.0.1:5050", app)
	cmd.Env = append(os.Environ(), "EBB_TEST_ROLE=registry")
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// serveRegistry serves on address until it is killed.
func serveRegistry(address, program string) {
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	go func() { log.Fatal(http.ListenAndServe(address, handler)) }()
	data, err := os.ReadFile(program)
	if err != nil {
		log.Fatal(err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(data))}); err != nil {
		log.Fatal(err)
	}
	w.Write(data)
	w.Close()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	if err != nil {
		log.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		log.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		log.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config.Entrypoint = "linux", runtime.GOARCH, []string{"/app"}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		log.Fatal(err)
	}
	tag, err := name.NewTag(address+"/library/app:1", name.Insecure)
	if err != nil {
		log.Fatal(err)
	}
	for range 50 {
		if err = remote.Write(tag, image); err == nil {
			select {}
		}
		time.Sleep(20 * time.Millisecond)
	}
	log.Fatal(err)
}

// sysctls are values that a kubelet or we change.
func sysctls(m *machine) string {
	return m.inside("cat", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/panic",
		"/proc/sys/kernel/panic_on_oops", "/proc/sys/net/ipv4/ip_forward")
}

// traces lists what of the platform is left on the machine: processes, mounts, devices, rules, cgroups.
func (m *machine) traces() string {
	var left []string
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range commands {
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte(m.state)) && !bytes.Contains(data, []byte("nsenter")) {
			left = append(left, "process "+strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	if data, err := os.ReadFile("/proc/thread-self/mountinfo"); err == nil {
		for _, line := range strings.Split(string(data), "\n") {
			if strings.Contains(line, m.state) {
				left = append(left, "mount "+line)
			}
		}
	}
	for _, line := range strings.Split(m.inside("ip", "-o", "link"), "\n") {
		if strings.Contains(line, "ebb") || strings.Contains(line, "veth") {
			left = append(left, "device "+line)
		}
	}
	for _, command := range []string{"iptables-save", "ip6tables-save"} {
		for _, line := range strings.Split(m.inside(command), "\n") {
			if strings.Contains(line, "KUBE-") || strings.Contains(line, "EBB") {
				left = append(left, command+" "+line)
			}
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/ebb-*", "/sys/fs/cgroup/*/ebb-*"} {
		groups, _ := filepath.Glob(pattern)
		for _, g := range groups {
			if m.ownGroup(g) {
				left = append(left, "cgroup "+g)
			}
		}
	}
	return strings.Join(left, "\n")
}
