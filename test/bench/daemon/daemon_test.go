package daemon

import (
	"io"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestADaemonHasASessionOfItsOwnAndEnds(t *testing.T) {
	p, err := Start(io.Discard, "/bin/sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	session, err := unix.Getsid(p.PID)
	if ours, _ := unix.Getsid(os.Getpid()); err != nil || session != p.PID || session == ours {
		t.Errorf("its session is %d (%v), ours %d", session, err, ours)
	}
	p.Stop()
	if err := syscall.Kill(p.PID, 0); err != syscall.ESRCH {
		t.Errorf("it is still there: %v", err)
	}
}
