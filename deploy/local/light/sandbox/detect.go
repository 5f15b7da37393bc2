package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Ability is what this machine lets us do.
type Ability struct {
	Mode   Mode
	Why    string // what stands in the way of the better mode; empty if nothing does
	Limits string // "cgroup v2", "cgroup v1" or empty
	// OwnProc says that a container's /proc shows its own processes; else it shows the node's (kernels before 6.17).
	OwnProc bool
	// Rootless says that we are root in a user namespace only: users that are not mapped there do not exist.
	Rootless bool
}

// Detect tries what isolation needs, in a thread that does nothing afterwards. dir must be on the file system that containers will write to.
func Detect(dir string) Ability {
	a := Ability{Mode: Plain, Rootless: inUserNamespace()}
	if os.Geteuid() != 0 {
		a.Why = "not root"
		return a
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		result <- tryIsolation(dir)
		park()
	}()
	if err := <-result; err != nil {
		a.Why = err.Error()
		return a
	}
	a.Mode = Isolated
	a.OwnProc = procTakesPidns()
	return a
}

// park keeps a thread that is no good any more from running anything else, and from ending: a thread's end kills the processes that anybody ever
// started from it with a parent-death signal, and Go may have run anybody's code on it.
func park() {
	select {}
}

// tryIsolation does once what every start of a container does.
func tryIsolation(dir string) error {
	work, err := os.MkdirTemp(dir, "detect-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(work, d), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("namespaces are not allowed: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts are not allowed: %w", err)
	}
	merged := filepath.Join(work, "merged")
	if err := mountOverlay(filepath.Join(work, "lower"), filepath.Join(work, "upper"), filepath.Join(work, "work"), merged); err != nil {
		return fmt.Errorf("overlayfs does not work in %s: %w", dir, err)
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, "/dev", treeFlags)
	if err != nil {
		return fmt.Errorf("the kernel is older than 5.12: open_tree: %w", err)
	}
	defer unix.Close(tree)
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("the kernel is older than 5.12: mount_setattr: %w", err)
	}
	return unix.Unmount(merged, unix.MNT_DETACH)
}

// procTakesPidns asks whether /proc can be mounted for a process namespace from outside of it, which kernels can since 6.17.
func procTakesPidns() bool {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(fs)
	ns, err := unix.Open("/proc/self/ns/pid", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(ns)
	return unix.FsconfigSetFd(fs, "pidns", ns) == nil
}

// inUserNamespace reports whether uid 0 here is somebody else outside.
func inUserNamespace() bool {
	m, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	var inside, outside, count uint64
	if _, err := fmt.Sscan(string(m), &inside, &outside, &count); err != nil {
		return false
	}
	return inside != 0 || outside != 0 || count < 1<<32-1
}

// lookPath finds the program as the shell would, in the calling thread's root. dir is the working directory for names like ./app.
func lookPath(file, path, dir string, check func(string) error) (string, error) {
	if file == "" {
		return "", exec.ErrNotFound
	}
	if filepath.Base(file) != file {
		if !filepath.IsAbs(file) {
			file = filepath.Join("/", dir, file)
		}
		return file, check(file)
	}
	var denied error
	for _, d := range filepath.SplitList(path) {
		if !filepath.IsAbs(d) {
			d = filepath.Join("/", dir, d)
		}
		candidate := filepath.Join(d, file)
		err := check(candidate)
		if err == nil {
			return candidate, nil
		}
		if errors.Is(err, os.ErrPermission) {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", errors.New("executable file not found in $PATH")
}

// executable reports whether the file can be run as far as its type and mode tell.
func executable(file string) error {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return fmt.Errorf("stat %s: %w", file, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return errors.New("is a directory")
	}
	if st.Mode&0o111 == 0 {
		return unix.EACCES
	}
	return nil
}
