package light

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// unlockTerminal opens the other side of a pseudo-terminal.
func unlockTerminal(master *os.File) (*os.File, error) {
	raw, err := master.SyscallConn()
	if err != nil {
		return nil, err
	}
	number := 0
	var ioErr error
	err = raw.Control(func(fd uintptr) {
		if ioErr = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ioErr == nil {
			number, ioErr = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil || ioErr != nil {
		return nil, fmt.Errorf("unlock: %w", firstError(err, ioErr))
	}
	return os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// resizeTerminal tells the programs on a terminal its size.
func resizeTerminal(master *os.File, width, height uint16) error {
	raw, err := master.SyscallConn()
	if err != nil {
		return err
	}
	var ioErr error
	err = raw.Control(func(fd uintptr) {
		ioErr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width})
	})
	return firstError(err, ioErr)
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }
