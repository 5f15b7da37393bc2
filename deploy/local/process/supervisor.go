package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"ebb.dev/ebb/deploy/local/state"
)

// Supervisor starts, watches and stops children.
type Supervisor struct {
	dir *state.Dir
	// adopt is told each new pid, to put it where it can be found again.
	adopt func(pid int) error
	log   *slog.Logger

	mu       sync.Mutex
	children []*child
}

// New returns a supervisor whose records and logs are in dir. adopt may be nil.
func New(dir *state.Dir, adopt func(pid int) error, log *slog.Logger) *Supervisor {
	return &Supervisor{dir: dir, adopt: adopt, log: log}
}

// child is one specification and the process that runs it now.
type child struct {
	spec   Spec
	order  int
	stop   context.CancelFunc
	ended  chan struct{} // closed when the child is stopped for good
	record state.Record
}

// running is one life of a child.
type running struct {
	cmd  *exec.Cmd
	done chan struct{} // closed after Wait
	err  error         // of Wait
}

// Start starts spec and returns when it is ready. An error ends the process and says where its log is.
func (s *Supervisor) Start(ctx context.Context, spec Spec) error {
	if spec.Before != nil {
		if err := spec.Before(ctx); err != nil {
			return fmt.Errorf("%s: %w", spec.Name, err)
		}
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	c := &child{spec: spec, order: len(s.children) + 1, stop: cancel, ended: make(chan struct{})}
	s.children = append(s.children, c)
	s.mu.Unlock()

	life, err := s.launch(c)
	if err != nil {
		close(c.ended)
		return err
	}
	if err := s.waitReady(ctx, c, life); err != nil {
		s.end(c, life)
		close(c.ended)
		return err
	}
	go s.keep(own, c, life)
	return nil
}

// launch starts the process and records it.
func (s *Supervisor) launch(c *child) (*running, error) {
	spec := &c.spec
	logFile, err := openLog(s.dir.Log(spec.Name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Name, err)
	}
	defer logFile.Close()
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Dir = spec.Dir
	cmd.ExtraFiles = spec.Files
	cmd.Stdout, cmd.Stderr = logFile, logFile
	// A terminal's interrupt is for the supervisor: it stops its children in order. Linux gives each session its own share of the processors
	// (autogroups, sched(7)): a gateway does not wait for what Kubernetes does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := Start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	life := &running{cmd: cmd, done: make(chan struct{})}
	go func() {
		life.err = cmd.Wait()
		close(life.done)
	}()
	if s.adopt != nil {
		if err := s.adopt(cmd.Process.Pid); err != nil && !errors.Is(err, syscall.ESRCH) {
			s.log.Warn("process could not be put into the platform's cgroup", "component", spec.Name, "error", err)
		}
	}
	c.record.Name, c.record.Order, c.record.Address, c.record.Log = spec.Name, c.order, spec.Address, logFile.Name()
	c.record.Outside = spec.Outside
	c.record.Started, c.record.State = time.Now(), "starting"
	// A process that is gone already has no start time: that it failed is found by waitReady.
	if err := c.record.Identify(cmd.Process.Pid); err == nil {
		return life, s.dir.Write(c.record)
	}
	return life, nil
}

// waitReady returns when the child serves, has ended, or the time is over.
func (s *Supervisor) waitReady(ctx context.Context, c *child, life *running) error {
	spec := &c.spec
	var last error
	if spec.Ready != nil {
		ctx, cancel := context.WithTimeout(ctx, spec.readyTimeout())
		defer cancel()
		tick := time.NewTicker(ReadyPoll)
		defer tick.Stop()
		for last = spec.Ready(ctx); last != nil; last = spec.Ready(ctx) {
			select {
			case <-life.done:
				if spec.Once && life.err == nil {
					return nil
				}
				return fmt.Errorf("%s ended while starting (%v)%s", spec.Name, exitText(life.err), tail(s.dir.Log(spec.Name)))
			case <-ctx.Done():
				return fmt.Errorf("%s is not ready after %s: %w%s", spec.Name, time.Since(c.record.Started).Round(time.Millisecond), last, tail(s.dir.Log(spec.Name)))
			case <-tick.C:
			}
		}
	}
	c.record.State = "ready"
	return s.dir.Write(c.record)
}

// keep starts the child again whenever it ends, until it is stopped.
func (s *Supervisor) keep(ctx context.Context, c *child, life *running) {
	defer close(c.ended)
	crashes := 0
	logs := time.NewTicker(logCheck)
	defer logs.Stop()
	for {
		select {
		case <-ctx.Done():
			s.end(c, life)
			return
		case <-logs.C:
			_ = trimLog(s.dir.Log(c.spec.Name)) // the next look tries again
			continue
		case <-life.done:
		}
		if c.spec.Once && life.err == nil {
			s.dir.Forget(c.spec.Name)
			return
		}
		if time.Since(c.record.Started) > steady {
			crashes = 0
		}
		next := s.revive(ctx, c, life, &crashes)
		if next == nil {
			s.dir.Forget(c.spec.Name)
			return
		}
		life = next
	}
}

// revive starts the child again, waiting longer after each failure. It returns nil when ctx ends.
func (s *Supervisor) revive(ctx context.Context, c *child, dead *running, crashes *int) *running {
	cause := exitText(dead.err)
	for {
		*crashes++
		wait := delay(*crashes)
		s.log.Error("component ended, starting it again", "component", c.spec.Name, "cause", cause, "in", wait, "crashes", *crashes, "log", s.dir.Log(c.spec.Name))
		c.record.State, c.record.Restarts = "restarting", c.record.Restarts+1
		if err := s.dir.Write(c.record); err != nil {
			s.log.Warn("record not written: ebb status may show what was", "component", c.spec.Name, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if c.spec.Before != nil {
			if err := c.spec.Before(ctx); err != nil {
				cause = err.Error()
				continue
			}
		}
		life, err := s.launch(c)
		if err != nil {
			cause = err.Error()
			continue
		}
		if err := s.waitReady(ctx, c, life); err != nil {
			s.end(c, life)
			cause = err.Error()
			continue
		}
		s.log.Info("component serves again", "component", c.spec.Name, "crashes", *crashes)
		return life
	}
}

// end stops one life of a child and forgets its record.
func (s *Supervisor) end(c *child, life *running) {
	life.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-life.done:
	case <-time.After(c.spec.stopTimeout()):
		s.log.Warn("component did not end in time, killing it", "component", c.spec.Name, "grace", c.spec.stopTimeout())
		life.cmd.Process.Kill()
		<-life.done
	}
	s.dir.Forget(c.spec.Name)
}

// Stop ends the named child and returns when it is gone. An unknown name is no error.
func (s *Supervisor) Stop(name string) {
	s.mu.Lock()
	var found *child
	for i, c := range s.children {
		if c.spec.Name == name {
			found = c
			s.children = append(s.children[:i:i], s.children[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	if found != nil {
		found.stop()
		<-found.ended
	}
}

// StopAll ends all children, the last started first.
func (s *Supervisor) StopAll() {
	for {
		s.mu.Lock()
		n := len(s.children)
		var name string
		if n > 0 {
			name = s.children[n-1].spec.Name
		}
		s.mu.Unlock()
		if n == 0 {
			return
		}
		s.Stop(name)
	}
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}
