package light

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"ebb.dev/ebb/deploy/local/light/probe"
	"ebb.dev/ebb/deploy/local/light/sandbox"
)

// accompany runs the hook and probes beside a run of the program.
func (c *container) accompany(ctx context.Context, process *sandbox.Process) {
	p := c.pod
	if h := c.spec.Lifecycle; h != nil && h.PostStart != nil {
		if err := c.hook(ctx, h.PostStart); err != nil && ctx.Err() == nil {
			p.m.events.add(p.object(), c.name(), corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed")
			c.kill(process, "FailedPostStartHook")
			return
		}
	}
	if c.spec.StartupProbe != nil {
		up := false
		c.probe(ctx, "Startup", c.spec.StartupProbe, func(ok bool) bool {
			up = ok
			if !ok {
				c.kill(process, fmt.Sprintf("Container %s failed startup probe, will be restarted", c.name()))
			}
			return false
		})
		if !up {
			return
		}
		c.set(process, func() { c.started, c.ready = true, c.spec.ReadinessProbe == nil })
	}
	c.onceUp.Do(func() { close(c.startedUp) })
	if c.spec.ReadinessProbe != nil {
		go c.probe(ctx, "Readiness", c.spec.ReadinessProbe, func(ok bool) bool {
			c.set(process, func() { c.ready = ok })
			return true
		})
	}
	if c.spec.LivenessProbe != nil {
		go c.probe(ctx, "Liveness", c.spec.LivenessProbe, func(ok bool) bool {
			if ok {
				return true
			}
			c.kill(process, fmt.Sprintf("Container %s failed liveness probe, will be restarted", c.name()))
			return false
		})
	}
}

// set changes the container's state if the run is still the current one, and tells the API if that changes anything.
func (c *container) set(process *sandbox.Process, change func()) {
	c.pod.mu.Lock()
	if c.process == process {
		change()
	}
	c.pod.mu.Unlock()
	c.pod.status.kick()
}

func (c *container) probe(ctx context.Context, kind string, spec *corev1.Probe, report func(bool) bool) {
	p := c.pod
	target := probe.Target{IP: p.ip, Ports: c.spec.Ports, Exec: func(ctx context.Context, command []string) (string, int, error) {
		return c.output(ctx, command)
	}}
	probe.Loop(ctx, spec, target, func(err error) {
		p.m.events.add(p.object(), c.name(), corev1.EventTypeWarning, "Unhealthy", "%s probe failed: %s", kind, err)
	}, report)
}

// kill ends a run so that the next may begin: TERM, then KILL after the pod's grace period.
func (c *container) kill(process *sandbox.Process, why string) {
	p := c.pod
	p.m.events.add(p.object(), c.name(), corev1.EventTypeNormal, "Killing", "%s", why)
	grace := defaultGrace
	if s := p.object().Spec.TerminationGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	_ = process.Signal(c.stopSignal()) // has ended at worst
	select {
	case <-process.Done():
	case <-time.After(grace):
		_ = process.Signal(syscall.SIGKILL)
	case <-p.ctx.Done():
	}
}

// hook runs a lifecycle handler.
func (c *container) hook(ctx context.Context, h *corev1.LifecycleHandler) error {
	switch {
	case h.Exec != nil:
		out, code, err := c.output(ctx, h.Exec.Command)
		if err == nil && code != 0 {
			err = fmt.Errorf("command %q exited with %d: %s", strings.Join(h.Exec.Command, " "), code, out)
		}
		return err
	case h.HTTPGet != nil:
		port, err := probe.Port(h.HTTPGet.Port, c.spec.Ports)
		if err != nil {
			return err
		}
		host := h.HTTPGet.Host
		if host == "" {
			host = c.pod.ip
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/"+strings.TrimPrefix(h.HTTPGet.Path, "/"), nil)
		if err != nil {
			return err
		}
		for _, header := range h.HTTPGet.HTTPHeaders {
			r.Header.Set(header.Name, header.Value)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	case h.Sleep != nil:
		select {
		case <-time.After(time.Duration(h.Sleep.Seconds) * time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}

const maxProbeOutput = 10 << 10

// output runs a command in the container and returns what it wrote.
func (c *container) output(ctx context.Context, command []string) (string, int, error) {
	read, write, err := pipe()
	if err != nil {
		return "", 0, err
	}
	defer read.Close()
	process, err := c.exec(command, func(s *sandbox.Spec) { s.Stdout, s.Stderr = write, write })
	write.Close()
	if err != nil {
		return "", 0, err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = process.Signal(syscall.SIGKILL) // has ended at worst
		read.Close()
	})
	defer stop()
	var b bytes.Buffer
	_, _ = io.CopyN(&b, read, maxProbeOutput) // the end of the output or of our patience
	<-process.Done()
	return b.String(), process.Exit().Code, ctx.Err()
}

// exec starts a further program in the running container.
func (c *container) exec(command []string, with func(*sandbox.Spec)) (*sandbox.Process, error) {
	p := c.pod
	p.mu.Lock()
	in := c.process
	s := &sandbox.Spec{ID: "exec", Args: command, Env: c.env, User: c.user, Dir: c.workDir}
	p.mu.Unlock()
	if in == nil {
		return nil, fmt.Errorf("container %s of pod %s is not running", c.name(), p.key())
	}
	with(s)
	return p.m.host.Exec(in, s)
}

// broadcast gives a program's output to those who attached.
type broadcast struct {
	mu        sync.Mutex
	listeners map[chan chunk]bool
}

type chunk struct {
	stream string
	bytes  []byte
}

func newBroadcast() *broadcast { return &broadcast{listeners: map[chan chunk]bool{}} }

// send never waits for a listener: one that does not keep up misses output, the log has it.
func (b *broadcast) send(stream string, p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.listeners) == 0 {
		return
	}
	c := chunk{stream, bytes.Clone(p)}
	for l := range b.listeners {
		select {
		case l <- c:
		default:
		}
	}
}

func (b *broadcast) listen() (chan chunk, func()) {
	l := make(chan chunk, 1024)
	b.mu.Lock()
	b.listeners[l] = true
	b.mu.Unlock()
	return l, func() {
		b.mu.Lock()
		delete(b.listeners, l)
		b.mu.Unlock()
	}
}

// openTerminal makes a pseudo-terminal; the slave is the program's side.
func openTerminal() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	slave, err = unlockTerminal(master)
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	return master, slave, nil
}
