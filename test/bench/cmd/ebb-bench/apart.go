package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"ebb.dev/ebb/test/kafka"
)

// apart becomes this program again, in a network namespace of its own: a platform of the machine is not in the way there. It returns only if
// it cannot.
func apart(ctx context.Context, o options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// What has to be fetched is fetched while there is a network.
	if _, err := kafka.Fetch(ctx); err != nil {
		o.log.Warn("Kafka not fetched", "error", err)
	}
	// The namespace is this thread's, which the program goes on with.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("--apart needs a network namespace, and so root: %w", err)
	}
	if out, err := exec.CommandContext(ctx, "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("loopback: %w: %s", err, out)
	}
	args := slices.DeleteFunc(slices.Clone(os.Args), func(arg string) bool { return arg == "--apart" || arg == "-apart" })
	return unix.Exec(self, args, os.Environ())
}
