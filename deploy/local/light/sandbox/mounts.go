package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	shmSize = 64 << 20 // bytes, as container runtimes
	// treeFlags clone a mount and those below it, which a user namespace does not let us leave out.
	treeFlags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE
)

// devices are what every container sees in /dev.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// mountOverlay lays upper over lower at target. volatile: nobody needs the upper directory after a crash, so nothing is synced at the end.
func mountOverlay(lower, upper, work, target string) error {
	options := "lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work
	err := unix.Mount("overlay", target, "overlay", 0, options+",volatile")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("overlay", target, "overlay", 0, options)
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		err = unix.Mount("overlay", target, "overlay", 0, options+",userxattr")
	}
	return err
}

// makeDev fills dir, as a tmpfs of the calling thread's mount namespace, with the devices and links of a container's /dev. All containers
// share it read-only; their own parts (shm) are mounted on it one by one.
func makeDev(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID, "mode=755,size=64k"); err != nil {
		return err
	}
	for _, name := range devices {
		target := filepath.Join(dir, name)
		if err := os.WriteFile(target, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "core": "/proc/kcore"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"shm", "mqueue", "pts"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, terminationLog), nil, 0o666)
}

// terminationLog is where programs write why they ended, by default; kubelet mounts a file there.
const terminationLog = "termination-log"

// tree is a mount that is not attached anywhere yet.
type tree struct {
	fd     int
	target string
	dir    bool
}

// cloneTree takes the mount of a host path, for attaching it inside the container's root later, when the host's paths are out of sight.
func cloneTree(m Mount) (tree, error) {
	if m.Tmpfs != 0 {
		return newTmpfs(m)
	}
	fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return tree{}, fmt.Errorf("%s: %w", m.Source, err)
	}
	defer func() { unix.Close(fd) }()
	if m.SubPath != "" {
		sub, err := unix.Openat2(fd, m.SubPath, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
		if err != nil {
			return tree{}, fmt.Errorf("subPath %s: %w", m.SubPath, err)
		}
		unix.Close(fd)
		fd = sub
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return tree{}, err
	}
	cloned, err := unix.OpenTree(fd, "", treeFlags|unix.AT_EMPTY_PATH)
	if err != nil {
		return tree{}, fmt.Errorf("%s: open_tree: %w", m.Source, err)
	}
	t := tree{fd: cloned, target: m.Target, dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}
	if m.ReadOnly {
		if err := readOnly(cloned); err != nil {
			unix.Close(cloned)
			return tree{}, fmt.Errorf("%s: read-only: %w", m.Source, err)
		}
	}
	return t, nil
}

func readOnly(fd int) error {
	return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

func newTmpfs(m Mount) (tree, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return tree{}, err
	}
	defer unix.Close(fs)
	if m.Tmpfs != tmpfsUnlimited {
		if err := unix.FsconfigSetString(fs, "size", strconv.FormatInt(m.Tmpfs, 10)); err != nil {
			return tree{}, err
		}
	}
	if err := unix.FsconfigSetString(fs, "mode", "1777"); err != nil {
		return tree{}, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return tree{}, err
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	return tree{fd: fd, target: m.Target, dir: true}, err
}

// attach puts the mount at its target in the calling thread's root and makes the target if it is not there.
func (t tree) attach() error {
	defer unix.Close(t.fd)
	if err := makeTarget(t.target, t.dir); err != nil {
		return fmt.Errorf("mount at %s: %w", t.target, err)
	}
	if err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, t.target, unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS); err != nil {
		return fmt.Errorf("mount at %s: %w", t.target, err)
	}
	return nil
}

func makeTarget(target string, dir bool) error {
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	if dir {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// enterRoot builds the container's root in a fresh mount namespace and makes it the thread's. The host's root stays mounted beneath,
// at the working directory, until finishRoot.
func (t *spawner) enterRoot(s *Spec, upper string, ownProc bool) (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
		return fmt.Errorf("hostname %s: %w", s.Hostname, err)
	}
	trees, err := t.trees(s, ownProc)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			for _, m := range trees {
				unix.Close(m.fd)
			}
		}
	}()
	if err := mountOverlay(t.beneath.lower(s.Rootfs, trees, "/proc", s.Dir), filepath.Join(upper, "upper"), filepath.Join(upper, "work"), t.work); err != nil {
		return fmt.Errorf("overlay over %s: %w", s.Rootfs, err)
	}
	if err := unix.Chdir(t.work); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	for len(trees) > 0 {
		m := trees[0]
		trees = trees[1:]
		if err := m.attach(); err != nil {
			return err
		}
	}
	if s.Dir != "" {
		if err := os.MkdirAll(s.Dir, 0o755); err != nil {
			return fmt.Errorf("working directory %s: %w", s.Dir, err)
		}
	}
	if err := makeTarget("/proc", true); err != nil {
		return err
	}
	if s.ReadOnly {
		return remountReadOnly()
	}
	return nil
}

// trees collects everything that is mounted into the container, in order: /dev, /sys, then what the pod asks for.
func (t *spawner) trees(s *Spec, ownProc bool) ([]tree, error) {
	mounts := []Mount{{Source: t.dev, Target: "/dev", ReadOnly: true}, {Source: "/sys", Target: "/sys", ReadOnly: true}}
	if s.Privileged {
		mounts = []Mount{{Source: "/dev", Target: "/dev"}, {Source: "/sys", Target: "/sys"}}
	}
	if !ownProc { // the node's, with the machine's switches out of reach
		mounts = append(mounts, Mount{Source: "/proc", Target: "/proc", ReadOnly: !s.Privileged && s.User.UID == 0})
	}
	mounts = append(mounts, Mount{Target: "/dev/shm", Tmpfs: shmSize})
	mounts = append(mounts, s.Mounts...)
	var trees []tree
	for _, m := range mounts {
		one, err := cloneTree(m)
		if err != nil {
			for _, made := range trees {
				unix.Close(made.fd)
			}
			return nil, fmt.Errorf("mount for %s: %w", m.Target, err)
		}
		trees = append(trees, one)
	}
	return trees, nil
}

func remountReadOnly() error {
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("read-only root: %w", err)
	}
	return nil
}

// hiddenInProc are the files through which a container's root could change the machine.
var hiddenInProc = []string{"sys", "sysrq-trigger", "irq", "bus", "fs"}

// mountProc mounts the /proc of the process namespace that pid is the first process of. It runs while that process is stopped.
func (t *spawner) mountProc(pid int, s *Spec) error {
	ns, err := unix.Openat(t.proc, strconv.Itoa(pid)+"/ns/pid", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ns)
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetFd(fs, "pidns", ns); err != nil {
		return err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return err
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return err
	}
	if err := (tree{fd: fd, target: "/proc", dir: true}).attach(); err != nil {
		return err
	}
	return protectProc(s)
}

// protectProc makes the machine's switches read-only for programs that run as root; others cannot write them anyway.
func protectProc(s *Spec) error {
	if s.Privileged || s.User.UID != 0 {
		return nil
	}
	for _, name := range hiddenInProc {
		m, err := cloneTree(Mount{Source: "/proc/" + name, Target: "/proc/" + name, ReadOnly: true})
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		if err := m.attach(); err != nil {
			return err
		}
	}
	return nil
}

// searchPath is the PATH that the program is looked up in.
func searchPath(env []string) string {
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	return path
}
