package warmpath

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"ebb.dev/ebb/test/bench/load"
)

// SessionCommand is the hidden subcommand under which the program that imports this package serves ServeSession.
const SessionCommand = "session"

// program is one to run: its arguments, the program first, and the file for what it says.
type program struct {
	Args []string `json:"args"`
	Log  string   `json:"log"`
}

// session is a process with programs of its own. Linux gives each session its own share of the processors (autogroups, sched(7)): who shares
// that of the load's generator is preempted less. Ebb's Envoys have one session together, which is not that of who calls them.
type session struct {
	pids []int
	// stop ends the programs and their session.
	stop func() error
}

// startSession starts programs in a session that ends with ours.
func startSession(ctx context.Context, programs []program) (*session, error) {
	s := &session{}
	var err error
	s.stop, err = load.Begin(ctx, SessionCommand, programs, &s.pids, &syscall.SysProcAttr{Setsid: true})
	return s, err
}

// ServeSession runs the programs that are asked for, as JSON, says their pids, as JSON, and ends them when in does.
func ServeSession(in io.Reader, out io.Writer) error {
	// The death signal follows the thread that started the child: it has to stay.
	runtime.LockOSThread()
	ctx, end := context.WithCancel(context.Background())
	var all []*exec.Cmd
	defer func() {
		end()
		for _, cmd := range all {
			_ = cmd.Wait() // what it says of its end is that it was asked to
		}
	}()
	err := load.Answer(ctx, in, out, func(ctx context.Context, programs []program) (pids []int, err error) {
		for _, p := range programs {
			cmd, err := p.start(ctx)
			if err != nil {
				return nil, fmt.Errorf("start %s: %w", p.Args[0], err)
			}
			all, pids = append(all, cmd), append(pids, cmd.Process.Pid)
		}
		return pids, nil
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// start runs a program until the context ends: it is asked to end then, and is ended if it does not.
func (p program) start(ctx context.Context) (*exec.Cmd, error) {
	log, err := os.Create(p.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, p.Args[0], p.Args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}
