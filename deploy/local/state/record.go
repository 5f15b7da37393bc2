package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Record is one process that this folder's supervisor started (or is).
type Record struct {
	// Name is the component's.
	Name string `json:"name"`
	// PID, Ticks (start time in clock ticks since boot) and Boot identify the process.
	PID   int    `json:"pid"`
	Ticks uint64 `json:"ticks"`
	Boot  string `json:"boot"`
	// Started is the wall-clock start.
	Started time.Time `json:"started"`
	// Order is the rank at start: higher ones stop first.
	Order int `json:"order"`
	// State is "starting", "ready" or "restarting".
	State string `json:"state"`
	// Restarts counts crashes since `ebb up`.
	Restarts int `json:"restarts"`
	// Address is what the component serves on, for people.
	Address string `json:"address,omitempty"`
	// Outside marks a process that the one around an unprivileged supervisor keeps.
	Outside bool `json:"outside,omitempty"`
	// Log is the file with its output.
	Log string `json:"log"`
}

// Supervisor is the name of the record of `ebb up` itself.
const Supervisor = "supervisor"

// Launcher is the name of the record of the process around an unprivileged supervisor.
const Launcher = "launcher"

// Identify fills in what identifies pid, as it runs now.
func (r *Record) Identify(pid int) error {
	ticks, err := startTicks(pid)
	if err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	r.PID, r.Ticks, r.Boot = pid, ticks, boot
	return nil
}

// Alive reports whether the recorded process still runs.
func (r *Record) Alive() bool {
	boot, err := bootID()
	if err != nil || boot != r.Boot {
		return false
	}
	ticks, err := startTicks(r.PID)
	return err == nil && ticks == r.Ticks
}

// Signal sends sig to the recorded process and to no other. A process that is gone is not an error.
func (r *Record) Signal(sig unix.Signal) error {
	fd, err := unix.PidfdOpen(r.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("process %d (%s): %w", r.PID, r.Name, err)
	}
	defer unix.Close(fd)
	// The descriptor holds on to whoever has the pid now: look who it is, then signal through the descriptor.
	if !r.Alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d (%s): %w", r.PID, r.Name, err)
	}
	return nil
}

// End stops the recorded process: TERM, then KILL after grace. It returns when the process is gone.
func (r *Record) End(grace time.Duration) error {
	if !r.Alive() {
		return nil
	}
	fd, err := unix.PidfdOpen(r.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("process %d (%s): %w", r.PID, r.Name, err)
	}
	defer unix.Close(fd)
	if err := r.Signal(unix.SIGTERM); err != nil {
		return err
	}
	if exited(fd, grace) {
		return nil
	}
	if err := r.Signal(unix.SIGKILL); err != nil {
		return err
	}
	if !exited(fd, 5*time.Second) {
		return fmt.Errorf("process %d (%s) does not end", r.PID, r.Name)
	}
	return nil
}

// exited waits until the process behind a pid descriptor has exited, at most for timeout.
func exited(fd int, timeout time.Duration) bool {
	deadline := time.Now().Add(timeout)
	for {
		left := time.Until(deadline)
		if left < 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if n > 0 {
			return true
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
	}
}

// Write persists r.
func (d *Dir) Write(r Record) error { return writeJSON(filepath.Join(d.records(), r.Name+".json"), r) }

// Forget removes the record of name.
func (d *Dir) Forget(name string) error {
	err := os.Remove(filepath.Join(d.records(), name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Records returns all records in start order. A torn one is skipped: it was being written when its writer died, and the process it was
// for dies with its parent.
func (d *Dir) Records() ([]Record, error) {
	files, err := filepath.Glob(filepath.Join(d.records(), "*.json"))
	if err != nil {
		return nil, err
	}
	var out []Record
	for _, f := range files {
		var r Record
		if err := readJSON(f, &r); err == nil && r.PID > 0 {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Record) int { return a.Order - b.Order })
	return out, nil
}

// startTicks reads when pid started; an exited process that waits for its parent has not got a start.
func startTicks(pid int) (uint64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	return parseStat(string(data))
}

// parseStat returns field 22 of a /proc/PID/stat line. The second field, the command in parentheses, may hold anything.
func parseStat(line string) (uint64, error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return 0, errors.New("no command in the line")
	}
	fields := strings.Fields(line[end+1:])
	if len(fields) < 20 {
		return 0, errors.New("line too short")
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return 0, fs.ErrNotExist
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}
