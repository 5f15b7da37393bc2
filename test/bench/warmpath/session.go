package warmpath

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
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
	cmd  *exec.Cmd
	hold io.Closer
	pids []int
}

// startSession starts programs in a session that ends with ours.
func startSession(ctx context.Context, programs []program) (*session, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, SessionCommand)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &session{cmd: cmd, hold: in}
	err = json.NewEncoder(in).Encode(programs)
	if err == nil {
		err = json.NewDecoder(out).Decode(&s.pids)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a session: %w", err), s.stop())
	}
	return s, nil
}

// stop ends the programs and their session.
func (s *session) stop() error {
	return errors.Join(s.hold.Close(), s.cmd.Wait())
}

// ServeSession runs the programs that are asked for, as JSON, says their pids, as JSON, and ends them when in does.
func ServeSession(in io.Reader, out io.Writer) error {
	// The death signal follows the thread that started the child: it has to stay.
	runtime.LockOSThread()
	decoder := json.NewDecoder(in)
	var programs []program
	if err := decoder.Decode(&programs); err != nil {
		return fmt.Errorf("read what to run: %w", err)
	}
	var all []*exec.Cmd
	var pids []int
	var errs error
	for _, p := range programs {
		cmd, err := p.start()
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("start %s: %w", p.Args[0], err))
			break
		}
		all, pids = append(all, cmd), append(pids, cmd.Process.Pid)
	}
	if errs == nil {
		errs = json.NewEncoder(out).Encode(pids)
	}
	if errs == nil {
		_, errs = io.Copy(io.Discard, io.MultiReader(decoder.Buffered(), in))
	}
	for _, cmd := range all {
		end(cmd)
	}
	return errs
}

func (p program) start() (*exec.Cmd, error) {
	log, err := os.Create(p.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

// end asks a program to end, and ends it if it does not.
func end(cmd *exec.Cmd) {
	// Its end is awaited; that it cannot be asked to means that it came already.
	_ = cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Wait() // what it says of its end is that it was asked to
}
