package platform

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"ebb.dev/ebb/deploy/local/network"
	"ebb.dev/ebb/deploy/local/process"
	"ebb.dev/ebb/deploy/local/progress"
	"ebb.dev/ebb/deploy/local/rootless"
	"ebb.dev/ebb/deploy/local/state"
	"golang.org/x/sys/unix"
)

// An unprivileged `ebb up` is two processes: the one around, in the machine's namespaces, and the supervisor inside its own. The one around
// holds what only it can: the lock, the sockets on the machine's loopback, the way out. It starts the supervisor with these descriptors.
const (
	innerVariable = "EBB_INNER"
	// The descriptors of the supervisor inside.
	innerLockFD, innerAPIFD, innerProgressFD = 3, 4, 5
	// innerGrace is how long the supervisor inside has to take everything down.
	innerGrace = time.Minute
)

// isInner reports whether this process is the supervisor inside.
func isInner() bool { return os.Getenv(innerVariable) != "" }

// wantsAround reports whether to run in namespaces of our own: an unprivileged user who asked for a light node, or for nothing, and who is
// allowed to. Without them a light node runs among the machine's own processes and addresses.
func wantsAround(opts Options) bool {
	return !isInner() && !network.Allowed() && opts.Node != NodeKubelet && rootless.Allowed() == nil
}

// around runs the supervisor inside and what it needs outside.
func (p *platform) around(ctx context.Context, lock *state.Lock) error {
	p.opts.Node = NodeLight
	if err := p.prepare(); err != nil {
		return err
	}
	api, err := net.Listen("tcp", loopback(p.inst.APIPort))
	if err != nil {
		return fmt.Errorf("API server: %w", err)
	}
	defer api.Close()
	egress, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.dir.Run("egress.sock"), Net: "unix"})
	if err != nil {
		return fmt.Errorf("egress: %w", err)
	}
	defer egress.Close()
	go rootless.ServeEgress(egress) //nolint:errcheck // it ends with its listener
	if err := p.recordLauncher(); err != nil {
		return err
	}
	p.super = process.New(p.dir, nil, p.log)
	defer func() {
		p.super.StopAll()
		os.Remove(p.dir.Run("edge-admin.sock"))
		p.dir.Forget(state.Launcher)
	}()
	if err := p.startEdge(ctx); err != nil {
		return err
	}
	return p.superviseInner(ctx, lock, api.(*net.TCPListener))
}

func (p *platform) recordLauncher() error {
	r := state.Record{Name: state.Launcher, State: "ready", Started: p.began, Outside: true, Log: p.dir.Log(state.Supervisor)}
	if err := r.Identify(os.Getpid()); err != nil {
		return err
	}
	return p.dir.Write(r)
}

// startEdge starts the Envoy that brings the HTTP port inside. Its record is marked: the supervisor inside must not take it for a leftover.
func (p *platform) startEdge(ctx context.Context) error {
	if p.tools.envoy == "" {
		p.show.Event(progress.Event{Kind: progress.Note, Text: "no Envoy: nothing serves the HTTP port; get it with: make bin/envoy"})
		return nil
	}
	config, err := rootless.Edge(p.inst.HTTPPort, p.dir.Run("http.sock"), p.dir.Run("edge-admin.sock"))
	if err != nil {
		return err
	}
	path := p.dir.Path("conf", "edge.json")
	if err := errors.Join(os.MkdirAll(p.dir.Path("conf"), 0o700), os.WriteFile(path, config, 0o600)); err != nil {
		return err
	}
	address := loopback(p.inst.HTTPPort)
	return progress.Step(p.show, "envoy edge", "its port", func() error {
		return p.super.Start(ctx, process.Spec{
			Name: "edge", Path: p.tools.envoy, Args: []string{"-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "warn"},
			Address: "http://" + address, Outside: true, Ready: Accepts("tcp", address),
		})
	})
}

// superviseInner runs the supervisor inside until it ends or ctx does.
func (p *platform) superviseInner(ctx context.Context, lock *state.Lock, api *net.TCPListener) error {
	apiFile, err := api.File()
	if err != nil {
		return err
	}
	defer apiFile.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	logFile, err := os.OpenFile(p.dir.Log(state.Supervisor), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		writer.Close()
		return err
	}
	defer logFile.Close()
	cmd := exec.Command(p.tools.ebb, "up", "--state", p.dir.Root(), "--node", NodeLight, "--bin", p.tools.bin,
		"--http-port", strconv.Itoa(p.inst.HTTPPort), "--api-port", strconv.Itoa(p.inst.APIPort), "--progress-fd", strconv.Itoa(innerProgressFD))
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), innerVariable+"=1", state.RunVariable+"="+p.dir.Run())
	cmd.ExtraFiles = []*os.File{lock.File(), apiFile, writer}
	cmd.Stdout, cmd.Stderr = logFile, logFile
	rootless.Enter(cmd)
	err = process.Start(cmd)
	writer.Close()
	if err != nil {
		return fmt.Errorf("start the supervisor in its namespaces: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ready := make(chan string, 1)
	go func() {
		_, failure := progress.Replay(reader, innerSink{p.show})
		ready <- failure
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
		return p.endInner(cmd, ended)
	}
	if failure := <-ready; failure != "" {
		return errors.New(failure)
	}
	if err != nil {
		return fmt.Errorf("the supervisor ended: %w%s", err, "; its log is "+logFile.Name())
	}
	return nil
}

// endInner passes the request to end on.
func (p *platform) endInner(cmd *exec.Cmd, ended <-chan error) error {
	return progress.Step(p.show, "down", "pods and processes to end", func() error {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			return err
		case <-time.After(innerGrace):
			cmd.Process.Kill()
			return errors.Join(fmt.Errorf("the supervisor did not end in %s and was killed", innerGrace), <-ended)
		}
	})
}

// innerSink shows what the supervisor inside does. How the whole failed is the error of the one around.
type innerSink struct{ progress.Sink }

func (s innerSink) Event(e progress.Event) {
	if e.Kind == progress.Failed && e.Step == "ebb up" {
		return
	}
	s.Sink.Event(e)
}

// enterInner is what the supervisor inside does before anything else.
func (p *platform) enterInner() error {
	for _, fd := range []int{innerLockFD, innerAPIFD, innerProgressFD} {
		unix.CloseOnExec(fd)
	}
	address := network.Plan{Index: p.inst.Network}.Address().String()
	file := p.dir.Run("resolv.conf")
	content := fmt.Sprintf("nameserver %s\nsearch svc.cluster.local cluster.local\noptions ndots:2 timeout:1 attempts:1\n", address)
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		return err
	}
	return rootless.SetUp(file)
}

// apiListener is the socket on the machine's loopback, for the API server.
func apiListener() []*os.File {
	if !isInner() {
		return nil
	}
	return []*os.File{os.NewFile(innerAPIFD, "api listener")}
}
