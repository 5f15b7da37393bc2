package cgroup

import (
	"bufio"
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

// Hierarchies are the mounted cgroup file systems of a machine.
type Hierarchies struct {
	// V1 maps each controller (or "name=x") to its mount point.
	V1 map[string]string
	// V2 is the mount point of the unified hierarchy, if any.
	V2 string
}

// Unified reports whether the machine's controllers are in version 2.
func (h Hierarchies) Unified() bool { return h.V2 != "" && len(h.V1) == 0 }

// Detect reads the mounts that the calling thread sees: the process' first thread may be in the namespace of a container it has started.
func Detect() (Hierarchies, error) {
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return Hierarchies{}, err
	}
	return parseMountinfo(string(data)), nil
}

// namedOptions are mount options of a version 1 hierarchy that are not controllers.
var namedOptions = []string{"rw", "ro", "xattr", "noprefix", "clone_children", "release_agent"}

func parseMountinfo(info string) Hierarchies {
	h := Hierarchies{V1: map[string]string{}}
	lines := bufio.NewScanner(strings.NewReader(info))
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(tail) < 3 {
			continue
		}
		switch tail[0] {
		case "cgroup2":
			h.V2 = fields[4]
		case "cgroup":
			for _, option := range strings.Split(tail[2], ",") {
				if option != "" && !slices.Contains(namedOptions, option) {
					h.V1[option] = fields[4]
				}
			}
		}
	}
	return h
}

// roots are the distinct mount points.
func (h Hierarchies) roots() []string {
	var out []string
	for _, p := range h.V1 {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	if h.V2 != "" {
		out = append(out, h.V2)
	}
	return out
}

// Group is the group that a process is in for a controller, below the controller's mount point, by what /proc/PID/cgroup says. Version 2 has one
// group for all controllers, and "" for their name.
func Group(of, controller string) (path string, ok bool) {
	for line := range strings.Lines(of) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 && slices.Contains(strings.Split(fields[1], ","), controller) {
			return fields[2], true
		}
	}
	return "", false
}

// Tree is the subtree of one `ebb up`.
type Tree struct {
	h    Hierarchies
	name string
}

// NewTree names the subtree; nothing is made yet.
func NewTree(h Hierarchies, name string) *Tree { return &Tree{h, name} }

// Pods is the cgroup all pods live under, as kubelet wants it.
func (t *Tree) Pods() string { return "/" + t.name + "/pods" }

// System is the cgroup of the platform's own processes.
func (t *Tree) System() string { return "/" + t.name + "/system" }

// Create makes both groups in every hierarchy.
func (t *Tree) Create() error {
	for _, root := range t.h.roots() {
		for _, group := range []string{"/" + t.name, t.Pods(), t.System()} {
			if err := t.create(root, group); err != nil {
				return fmt.Errorf("cgroup %s: %w; as root on a machine whose cgroups are writable this works", root+group, err)
			}
		}
	}
	return nil
}

func (t *Tree) create(root, group string) error {
	if t.h.Unified() {
		if err := enable(filepath.Dir(root + group)); err != nil {
			return err
		}
	}
	if err := os.Mkdir(root+group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if t.h.V1["cpuset"] == root {
		return inheritCPUs(root + group)
	}
	return t.weigh(root, group)
}

// The weight of the tree, and in it that of our own processes, in times a group's default. The kernel weighs a group against each process
// beside it: with the default, Kubernetes, Envoys and all pods together would get as much of a busy machine as one other process.
const (
	treeWeight   = 16
	systemWeight = 4
)

// weigh sets a group's share of a busy processor. Pods have theirs from the kubelet.
func (t *Tree) weigh(root, group string) error {
	times := 0
	switch group {
	case "/" + t.name:
		times = treeWeight
	case t.System():
		times = systemWeight
	}
	file, value := "cpu.weight", 100*times
	if !t.h.Unified() {
		file, value = "cpu.shares", 1024*times
		if t.h.V1["cpu"] != root {
			return nil
		}
	}
	if times == 0 {
		return nil
	}
	err := os.WriteFile(filepath.Join(root+group, file), []byte(strconv.Itoa(value)), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the controller could not be handed down
	}
	return err
}

// enable hands all controllers of a version 2 group down to its children.
func enable(group string) error {
	data, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, c := range strings.Fields(string(data)) {
		// One controller that cannot be handed down (a real-time process holds cpu) must not cost the others.
		err := os.WriteFile(filepath.Join(group, "cgroup.subtree_control"), []byte("+"+c), 0)
		if err != nil && (c == "memory" || c == "pids") {
			return fmt.Errorf("enable %s: %w", c, err)
		}
	}
	return nil
}

// inheritCPUs: a new version 1 cpuset is empty and takes no process before it has CPUs and memory nodes.
func inheritCPUs(group string) error {
	for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
		own, err := os.ReadFile(filepath.Join(group, f))
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(own)) != "" {
			continue
		}
		parent, err := os.ReadFile(filepath.Join(filepath.Dir(group), f))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(group, f), parent, 0); err != nil {
			return err
		}
	}
	return nil
}

// Adopt puts pid into the system group, so that whatever it starts is found at the end. One hierarchy is enough to find it.
func (t *Tree) Adopt(pid int) error {
	root := t.h.V2
	if p, ok := t.h.V1["pids"]; ok {
		root = p
	}
	return os.WriteFile(filepath.Join(root+t.System(), "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// Kill ends every process in the subtree, in every hierarchy, and returns how many there were. The caller is never among them unless it
// was adopted.
func (t *Tree) Kill() (int, error) {
	killed := map[int]bool{}
	deadline := time.Now().Add(10 * time.Second)
	for {
		pids := t.processes()
		if len(pids) == 0 {
			return len(killed), nil
		}
		if time.Now().After(deadline) {
			return len(killed), fmt.Errorf("cgroup %s: processes %v do not end", t.name, pids)
		}
		for _, pid := range pids {
			killed[pid] = true
			t.thaw()
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return len(killed), fmt.Errorf("kill %d of cgroup %s: %w", pid, t.name, err)
			}
		}
		waitGone(pids)
	}
}

// waitGone returns when all pids have ended, at most after a second.
func waitGone(pids []int) {
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000)
		unix.Close(fd)
	}
}

// thaw lets frozen groups die: a frozen process does not see its KILL on version 1.
func (t *Tree) thaw() {
	root, ok := t.h.V1["freezer"]
	if !ok {
		return
	}
	for _, group := range groups(root + "/" + t.name) {
		_ = os.WriteFile(filepath.Join(group, "freezer.state"), []byte("THAWED"), 0)
	}
}

// processes are the pids in the subtree that have not exited.
func (t *Tree) processes() []int {
	var out []int
	for _, root := range t.h.roots() {
		for _, group := range groups(root + "/" + t.name) {
			data, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
			if err != nil {
				continue
			}
			for _, field := range strings.Fields(string(data)) {
				pid, err := strconv.Atoi(field)
				if err == nil && pid > 0 && !slices.Contains(out, pid) {
					out = append(out, pid)
				}
			}
		}
	}
	return out
}

// Remove takes the subtree away. Processes must be gone.
func (t *Tree) Remove() error {
	var errs []error
	for _, root := range t.h.roots() {
		for _, group := range groups(root + "/" + t.name) {
			errs = append(errs, remove(group))
		}
	}
	return errors.Join(errs...)
}

// remove retries while the kernel still accounts for processes that have just exited.
func remove(group string) error {
	deadline := time.Now().Add(2 * time.Second)
	for {
		err := unix.Rmdir(group)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("remove cgroup %s: %w", group, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// groups are the groups at and below top, children first.
func groups(top string) []string {
	var out []string
	_ = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			out = append(out, path)
		}
		return nil
	})
	slices.Reverse(out)
	return out
}
