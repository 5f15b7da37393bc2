package state

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Lock is held by the one supervisor of a folder. The kernel lets go of it when the supervisor dies, however it dies.
type Lock struct{ file *os.File }

// BusyError says that another supervisor holds the folder.
type BusyError struct {
	Root string
	PID  int
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("ebb is already up in %s (pid %d); see: ebb status, stop it with: ebb down", e.Root, e.PID)
}

// Lock takes the folder or fails with a BusyError.
func (d *Dir) Lock() (*Lock, error) {
	file, err := os.OpenFile(d.Path("lock"), os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state folder %s: %w", d.root, err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &BusyError{Root: d.root, PID: holder(file)}
		}
		return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	if err := file.Truncate(0); err != nil {
		file.Close()
		return nil, err
	}
	if _, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		file.Close()
		return nil, err
	}
	return &Lock{file}, nil
}

// File is the lock's descriptor: a child that inherits it holds the lock too.
func (l *Lock) File() *os.File { return l.file }

// Release lets go.
func (l *Lock) Release() error { return l.file.Close() }

func holder(file *os.File) int {
	buf := make([]byte, 32)
	n, _ := file.ReadAt(buf, 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	return pid
}

// ownedByUs refuses a folder that another user made: the fallback for long paths may be in a folder everyone can write to.
func ownedByUs(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("folder %s must be this user's alone; remove it or choose a shorter --state", path)
	}
	return nil
}
