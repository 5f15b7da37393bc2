package mount

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// init has main, and so TestMain, on the process' first thread.
func init() { runtime.LockOSThread() }

// TestMain runs the tests with the process' first thread in a mount namespace of its own, as it is when Go starts a container from that thread.
func TestMain(m *testing.M) {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err == nil {
		_ = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	os.Exit(m.Run())
}

const info = `1 0 8:1 / / rw - ext4 /dev/a rw
2 1 0:5 / /home/me/.ebb/containerd/a rw - overlay overlay rw
3 2 0:6 / /home/me/.ebb/containerd/a/inner\040one rw - tmpfs tmpfs rw
4 1 0:7 / /home/me/.ebb2/x rw - tmpfs tmpfs rw
5 1 0:8 / /home/me/.ebb rw - tmpfs tmpfs rw
`

func TestOnlyMountsBelowTheFolderInnermostFirst(t *testing.T) {
	want := []string{"/home/me/.ebb", "/home/me/.ebb/containerd/a/inner one", "/home/me/.ebb/containerd/a"}
	if d := cmp.Diff(want, below(info, "/home/me/.ebb/")); d != "" {
		t.Error(d)
	}
	if got := below(info, "/nowhere"); got != nil {
		t.Errorf("got %v", got)
	}
}

func FuzzBelow(f *testing.F) {
	f.Add(info, "/home/me/.ebb")
	f.Add(`1 2 3 4 /a\1`, "/")
	f.Fuzz(func(t *testing.T, info, folder string) {
		for _, p := range below(info, folder) {
			if len(p) < len(filepath.Clean(folder)) {
				t.Errorf("%q is not below %q", p, folder)
			}
		}
	})
}

func TestStackedMountsAreAllGone(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []string{"a", "a/b", "a"} {
		point := filepath.Join(dir, p)
		if err := os.MkdirAll(point, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("ebb", point, "tmpfs", 0, "size=64k"); err != nil {
			t.Skipf("mounting is not allowed here: %v", err)
		}
	}
	n, err := UnmountBelow(dir)
	if err != nil || n != 3 {
		t.Fatalf("unmounted %d: %v", n, err)
	}
	left, err := Below(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
