package rootless

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namespaces are the new ones. Processes keep their pids: status and down look at them from outside.
const namespaces = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET

// attributes map this user, and nobody else, to root inside.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:                 namespaces,
		UidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		GidMappingsEnableSetgroups: false,
		// A terminal's interrupt is for the process outside, which passes it on.
		Setpgid: true,
	}
}

// Allowed returns nil if this user may make the namespaces, else why not.
func Allowed() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// The probe need not run anything: that the kernel starts a process in such namespaces is the answer.
	cmd := exec.Command(self)
	cmd.Env = []string{probe + "=1"}
	cmd.SysProcAttr = attributes()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("user namespaces are not allowed for this user: %w", err)
	}
	return nil
}

// probe is the variable that tells this program to end at once.
const probe = "EBB_NAMESPACE_PROBE"

func init() {
	if os.Getenv(probe) != "" {
		os.Exit(0)
	}
}

// Enter makes cmd run inside new namespaces.
func Enter(cmd *exec.Cmd) { cmd.SysProcAttr = attributes() }

// SetUp is the first thing to do inside: loopback comes up, mounts stay private, and names are asked for at resolver (the content of a
// resolv.conf) instead of where the machine asks, which cannot be reached from here.
func SetUp(resolverFile string) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	err = unix.Mount(resolverFile, "/etc/resolv.conf", "", unix.MS_BIND, "")
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("resolver: %w", err)
	}
	return nil
}
