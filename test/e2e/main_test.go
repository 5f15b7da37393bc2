package e2e

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ebb.dev/ebb/test/freeport"
)

// insideVariable tells the test process that it is in its network namespace; its value is the state folder.
const insideVariable = "EBB_E2E_STATE"

// shared is the platform of this run.
var shared *platform

// TestMain starts the platform, runs the tests and ends the platform.
//
// The tests run in a child process in a network namespace of its own, so that the machine's platform, if one is up, and its kube-proxy
// rules are left alone. The parent ends the platform when the child could not.
func TestMain(m *testing.M) {
	flag.Parse()
	var code int
	var err error
	switch state := os.Getenv(insideVariable); {
	case os.Getenv(subscriberVariable) != "":
		err = subscribe(os.Getenv(subscriberVariable))
	case flag.Lookup("test.list").Value.String() != "":
		code = m.Run()
	case state != "":
		code, err = inside(m, state)
	default:
		code, err = outside()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// errSkip is why nothing can be tested here.
type errSkip string

func (e errSkip) Error() string { return string(e) }

func outside() (int, error) {
	if testing.Short() {
		fmt.Println("e2e: skipped: -short is given")
		return 0, nil
	}
	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return 1, err
	}
	bin, err := programs(repo)
	if skip := errSkip(""); errors.As(err, &skip) {
		fmt.Println("e2e: skipped:", skip)
		return 0, nil
	}
	if err != nil {
		return 1, err
	}
	state, err := os.MkdirTemp("", "ebbe2e")
	if err != nil {
		return 1, err
	}
	if err := buildImages(repo, filepath.Join(state, "images")); err != nil {
		return 1, err
	}
	fetchKafka()
	// What is started from this thread is in the new network. The thread is never given back.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		fmt.Println("e2e: skipped: network namespaces are not allowed here:", err)
		return 0, os.RemoveAll(state)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("loopback: %w: %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	// The child gets a terminal's signals too, and ends by them.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	child := exec.Command(self, os.Args[1:]...)
	child.Env = append(os.Environ(), insideVariable+"="+state, "EBB_BIN="+bin)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	runErr := child.Run()
	if out, err := exec.Command(filepath.Join(bin, "ebb"), "down", "--state", state).CombinedOutput(); err != nil {
		return 1, fmt.Errorf("ebb down: %w\n%s", err, out)
	}
	if os.Getenv("EBB_E2E_KEEP") == "" {
		if err := os.RemoveAll(state); err != nil {
			return 1, err
		}
	} else {
		fmt.Println("e2e: kept", state)
	}
	var exit *exec.ExitError
	if errors.As(runErr, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, runErr
}

// programs finds what `ebb up` needs.
func programs(repo string) (string, error) {
	if os.Geteuid() != 0 {
		return "", errSkip("a kubelet node and a network namespace need root")
	}
	bin := os.Getenv("EBB_BIN")
	if bin == "" {
		bin = filepath.Join(repo, "bin")
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"ebb", "ebb-kube", "envoy", "containerd", "containerd-shim-runc-v2", "ebb-pause"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return "", errSkip(filepath.Join(bin, name) + " is not built: make build")
		}
	}
	for _, tool := range []string{"ip", "iptables", "runc"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", errSkip(tool + " is not installed")
		}
	}
	return bin, nil
}

func buildImages(repo, store string) error {
	build := exec.Command("go", "run", "./test/images/build", "--store", store)
	build.Dir, build.Env = repo, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the images: %w\n%s", err, out)
	}
	return nil
}

func inside(m *testing.M, state string) (int, error) {
	ports, err := freeport.Find(1)
	if err != nil {
		return 1, err
	}
	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return 1, err
	}
	shared = newPlatform(repo, os.Getenv("EBB_BIN"), state, ports[0])
	if out, err := shared.ebb("up", "--detach", "--node", "kubelet", "--http-port", fmt.Sprint(ports[0])); err != nil {
		return 1, fmt.Errorf("ebb up: %w\n%s", err, out)
	}
	if err := shared.configure(); err != nil {
		return 1, err
	}
	code := m.Run()
	overstepped := shared.oversteps()
	if out, err := shared.ebb("down"); err != nil {
		return 1, fmt.Errorf("ebb down: %w\n%s", err, out)
	}
	return code, overstepped
}

// configure lets services go back to zero in seconds.
func (p *platform) configure() error {
	patch := `{"data":{"scale-to-zero-grace-period":"6s"}}`
	out, err := p.kubectl("patch", "configmap/config-autoscaler", "-n", "knative-serving", "--type", "merge", "--patch", patch)
	if err != nil {
		return fmt.Errorf("config-autoscaler: %w\n%s", err, out)
	}
	return nil
}

// long reports whether faults and cycles are to be many.
func long() bool { return strings.EqualFold(os.Getenv("EBB_FAULTS"), "long") }
