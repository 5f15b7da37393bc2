package daemon

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"ebb.dev/ebb/deploy/local/process"
)

// endTimeout bounds how long one that was asked to end may take.
const endTimeout = 5 * time.Second

// Process is a program that runs.
type Process struct {
	PID int

	cmd   *exec.Cmd
	ended chan struct{}
}

// Start runs a program until it is stopped, or until this process ends.
func Start(says io.Writer, program string, args ...string) (*Process, error) {
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = says, says
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := process.Start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &Process{PID: cmd.Process.Pid, cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // it ends by a signal
		close(p.ended)
	}()
	return p, nil
}

// Stop asks it to end, ends it if it does not, and returns when it has.
func (p *Process) Stop() {
	// Its end is awaited; that it cannot be asked to means that it came already.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(endTimeout):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}
