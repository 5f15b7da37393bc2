package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a running or ended process.
type Process struct {
	PID     int
	Started time.Time

	pidfd  *os.File
	spec   *Spec
	group  bool // signals go to the process group: there is no process namespace that ends with the first process
	record string

	done chan struct{}
	exit Exit
	end  []func() // called once it has ended, before Done
}

func newProcess(pid, pidfd int, s *Spec) (*Process, error) {
	// Non-blocking, Go's poller waits for the end: no thread per process.
	if err := unix.SetNonblock(pidfd, true); err != nil {
		unix.Close(pidfd)
		return nil, fmt.Errorf("pidfd: %w", err)
	}
	return &Process{
		PID: pid, Started: time.Now(), pidfd: os.NewFile(uintptr(pidfd), "pidfd"), spec: s, done: make(chan struct{}),
	}, nil
}

// watch waits for the end. It is started once everything that must happen first (the record, the control group) is done.
func (p *Process) watch() {
	go func() {
		status, err := p.wait()
		p.exit = exitOf(status, err)
		if p.group {
			_ = syscall.Kill(-p.PID, syscall.SIGKILL) // what the program left running; the group may be gone
		}
		if p.spec.Cgroup != nil {
			p.exit.OOMKilled = p.exit.Signal == syscall.SIGKILL && p.spec.Cgroup.OOMKills() > 0
		}
		for _, f := range p.end {
			f()
		}
		p.pidfd.Close()
		close(p.done)
	}()
}

func (p *Process) wait() (syscall.WaitStatus, error) {
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return 0, err
	}
	var status syscall.WaitStatus
	var waitErr error
	err = raw.Read(func(uintptr) bool {
		for {
			pid, err := syscall.Wait4(p.PID, &status, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			waitErr = err
			return err != nil || pid == p.PID
		}
	})
	return status, errors.Join(err, waitErr)
}

func exitOf(status syscall.WaitStatus, err error) Exit {
	e := Exit{At: time.Now()}
	switch {
	case err != nil:
		e.Code = 255 // somebody else took the status; kubelet says the same of a container it lost
	case status.Signaled():
		e.Signal = status.Signal()
		e.Code = 128 + int(e.Signal)
	default:
		e.Code = status.ExitStatus()
	}
	return e
}

// Done is closed when the process has ended and its remains are gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is how it ended; valid after Done.
func (p *Process) Exit() Exit { return p.exit }

// Signal sends a signal, to the process and, where there is no process namespace, to its group. A process that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	var err error
	if p.group {
		err = syscall.Kill(-p.PID, sig)
	} else {
		err = p.sendToPidfd(sig)
	}
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func (p *Process) sendToPidfd(sig syscall.Signal) error {
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	if err := raw.Control(func(fd uintptr) { sendErr = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return err
	}
	return sendErr
}

// startTime is when the kernel started the process, in clock ticks since boot: with the number it names a process for ever.
func startTime(pid int) (uint64, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The name in field 2 may hold anything, so count from its closing bracket: field 22 is the 20th after it.
	i := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[i+1:])
	const startField = 19
	if i < 0 || len(fields) <= startField {
		return 0, fmt.Errorf("/proc/%d/stat: not understood", pid)
	}
	return strconv.ParseUint(string(fields[startField]), 10, 64)
}

// writeRecord notes the process on disk, for the next node to end it if this one cannot.
func (p *Process) writeRecord(file string) error {
	start, err := startTime(p.PID)
	if err != nil {
		return err
	}
	p.record = file
	p.end = append(p.end, func() { os.Remove(file) })
	return os.WriteFile(file, fmt.Appendf(nil, "%d %d", p.PID, start), 0o600)
}

// endRecorded ends a process that a crashed node left, if it is still the same one.
func endRecorded(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	defer os.Remove(file)
	var pid int
	var start uint64
	if _, err := fmt.Sscan(string(content), &pid, &start); err != nil || pid <= 1 {
		return nil // half-written by a crash: PDEATHSIG has ended that process
	}
	if now, err := startTime(pid); err != nil || now != start {
		return nil
	}
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end process %d of the last run: %w", pid, err)
	}
	return nil
}
