package light

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"ebb.dev/ebb/deploy/local/light/sandbox"
)

const (
	streamIdle     = 4 * time.Hour // as the kubelet
	streamCreation = 30 * time.Second
)

func (a *apiServer) exec(w http.ResponseWriter, r *http.Request) {
	c, err := a.container(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	o, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, executor{c}, c.pod.name, string(c.pod.uid), c.name(), r.URL.Query()["command"], o,
		streamIdle, streamCreation, remotecommand.SupportedStreamingProtocols)
}

// executor runs one kubectl exec.
type executor struct{ c *container }

// ExecInContainer runs the command with the caller's streams and reports its exit code.
func (e executor) ExecInContainer(ctx context.Context, _, _, _ string, command []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	s := &session{in: in, out: out, errs: errs}
	defer s.close()
	connect := s.pipes
	if tty {
		connect = func(spec *sandbox.Spec) error { return s.terminal(ctx, spec, resize) }
	}
	var connectErr error
	process, err := e.c.exec(command, func(spec *sandbox.Spec) { connectErr = connect(spec) })
	s.started()
	if connectErr != nil {
		return connectErr
	}
	if err != nil {
		return fmt.Errorf("OCI runtime exec failed: exec failed: unable to start container process: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = process.Signal(syscall.SIGKILL) })() // has ended at worst
	<-process.Done()
	s.drain()
	if code := process.Exit().Code; code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return nil
}

// session connects a command with streams.
type session struct {
	in        io.Reader
	out, errs io.Writer
	children  []*os.File // closed once the command has them
	own       []*os.File
	copied    []chan struct{}
}

func (s *session) pipes(spec *sandbox.Spec) error {
	for _, o := range []struct {
		to   io.Writer
		file **os.File
	}{{s.out, &spec.Stdout}, {s.errs, &spec.Stderr}} {
		if o.to == nil {
			continue
		}
		read, write, err := pipe()
		if err != nil {
			return err
		}
		*o.file = write
		s.children, s.own = append(s.children, write), append(s.own, read)
		s.copy(o.to, read)
	}
	if s.in != nil {
		read, write, err := pipe()
		if err != nil {
			return err
		}
		spec.Stdin = read
		s.children, s.own = append(s.children, read), append(s.own, write)
		go func() {
			_, _ = io.Copy(write, s.in) // the command may not want it
			write.Close()
		}()
	}
	return nil
}

func (s *session) terminal(ctx context.Context, spec *sandbox.Spec, resize <-chan remotecommand.TerminalSize) error {
	master, slave, err := openTerminal()
	if err != nil {
		return err
	}
	spec.Stdin, spec.Stdout, spec.Stderr, spec.TTY = slave, slave, slave, true
	spec.Env = append([]string{"TERM=xterm"}, spec.Env...)
	s.children, s.own = append(s.children, slave), append(s.own, master)
	go followSize(ctx, master, resize)
	if s.in != nil {
		go func() { _, _ = io.Copy(master, s.in) }() // the command may not want it
	}
	if s.out != nil {
		s.copy(s.out, master)
	}
	return nil
}

func followSize(ctx context.Context, master *os.File, resize <-chan remotecommand.TerminalSize) {
	for {
		select {
		case size, ok := <-resize:
			if !ok {
				return
			}
			_ = resizeTerminal(master, size.Width, size.Height) // has ended at worst
		case <-ctx.Done():
			return
		}
	}
}

func (s *session) copy(to io.Writer, from io.Reader) {
	done := make(chan struct{})
	s.copied = append(s.copied, done)
	go func() {
		defer close(done)
		_, _ = io.Copy(to, from) // the end of a terminal is an error
	}()
}

func (s *session) started() {
	for _, f := range s.children {
		f.Close()
	}
}

// drain waits for the rest of the output; what the command left running may hold it open.
func (s *session) drain() {
	late := time.After(outputGrace)
	for _, done := range s.copied {
		select {
		case <-done:
		case <-late:
			return
		}
	}
}

func (s *session) close() {
	for _, f := range s.own {
		f.Close()
	}
}

func (a *apiServer) attach(w http.ResponseWriter, r *http.Request) {
	c, err := a.container(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	o, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeAttach(w, r, attacher{c}, c.pod.name, string(c.pod.uid), c.name(), o, streamIdle, streamCreation, remotecommand.SupportedStreamingProtocols)
}

type attacher struct{ c *container }

// AttachContainer passes the program's output on until it or the caller ends, and the caller's input to the program if it takes any.
func (a attacher) AttachContainer(ctx context.Context, _, _, _ string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	p := a.c.pod
	p.mu.Lock()
	process, tee, stdin := a.c.process, a.c.tee, a.c.stdin
	p.mu.Unlock()
	if process == nil || tee == nil {
		return fmt.Errorf("container %s of pod %s is not running", a.c.name(), p.key())
	}
	chunks, stop := tee.listen()
	defer stop()
	if in != nil && stdin != nil {
		go func() { _, _ = io.Copy(stdin, in) }() // the program may not want it
	}
	if tty && stdin != nil {
		go followSize(ctx, stdin, resize)
	}
	for {
		select {
		case c := <-chunks:
			to := io.Writer(out)
			if c.stream == "stderr" {
				to = errs
			}
			if to == nil {
				continue
			}
			if _, err := to.Write(c.bytes); err != nil {
				return nil // the caller has gone
			}
		case <-process.Done():
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

func (a *apiServer) portForward(w http.ResponseWriter, r *http.Request) {
	p, err := a.m.find(r.PathValue("namespace"), r.PathValue("pod"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	o, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, forwarder{p}, p.name, string(p.uid), o, streamIdle, streamCreation, portforward.SupportedProtocols)
}

type forwarder struct{ p *pod }

// PortForward connects a stream with a port on the loopback of the pod, where programs listen that want no others, or on its address.
func (f forwarder) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	conn, err := f.dial(ctx, strconv.Itoa(int(port)))
	if err != nil {
		return fmt.Errorf("port %d of pod %s: %w", port, f.p.key(), err)
	}
	defer conn.Close()
	done := make(chan struct{}, 2)
	go func() {
		_, _ = io.Copy(conn, stream) // an end on either side ends the stream
		if half, ok := conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
		done <- struct{}{}
	}()
	go func() {
		_, _ = io.Copy(stream, conn) // as above
		done <- struct{}{}
		done <- struct{}{}
	}()
	for range 2 {
		select {
		case <-done:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

func (f forwarder) dial(ctx context.Context, port string) (net.Conn, error) {
	conn, err := f.p.m.host.DialIn(f.p.network, port)
	if err == nil {
		return conn, nil
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(f.p.ip, port))
}
