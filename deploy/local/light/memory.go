package light

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"ebb.dev/ebb/deploy/local/mount"
)

// openMemory makes a directory that lies in memory, as the kubelet's volumes of Secrets and tokens do: a start writes a dozen small files. Without
// the right to mount it is one on disk.
func openMemory(dir string) (release func() error, err error) {
	// Of a node that crashed.
	if _, err := mount.UnmountBelow(dir); err != nil {
		return nil, err
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return func() error { return nil }, nil //nolint:nilerr // it may not be ours to mount
	}
	return func() error {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
		return nil
	}, nil
}
