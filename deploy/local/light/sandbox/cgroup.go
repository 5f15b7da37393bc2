package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ebb.dev/ebb/deploy/local/cgroup"
)

// Limits bound one container. Zero is no limit.
type Limits struct {
	MemoryBytes int64
	MilliCPU    int64 // 1000 is one core
	CPUShares   int64 // weight by request, in the kernel's old unit: 1024 is one core
}

// cgroups is where the node makes its control groups; version 0 is nowhere.
type cgroups struct {
	version int
	// roots are our own directories: by controller for version 1, under "" for version 2.
	roots map[string]string
}

// Cgroup is one container's control group.
type Cgroup struct {
	version int
	dirs    map[string]string
	unified *os.File // version 2: the child is born in it
	warn    func(string, error)
}

const (
	cgroupMount = "/sys/fs/cgroup"
	cpuPeriod   = 100_000 // microseconds, the kernel's default
)

// openCgroups finds a hierarchy that we may write to and makes our directory there. name must be unique on the machine.
func openCgroups(name string) *cgroups {
	if c := openUnified(name); c != nil {
		return c
	}
	c := &cgroups{version: 1, roots: map[string]string{}}
	for _, controller := range []string{"memory", "cpu", "cpuacct"} {
		dir := filepath.Join(cgroupMount, controller, name)
		if os.Mkdir(dir, 0o755) == nil || isCgroup(dir) {
			c.roots[controller] = dir
		}
	}
	if c.roots["memory"] == "" {
		return &cgroups{}
	}
	return c
}

func isCgroup(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "cgroup.procs"))
	return err == nil
}

// openUnified tries the hierarchy's root, where root may, and the group we are in, where systemd delegated it.
func openUnified(name string) *cgroups {
	if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers")); err != nil {
		return nil
	}
	for _, parent := range []string{cgroupMount, filepath.Join(cgroupMount, ownCgroup())} {
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !isCgroup(dir) {
			continue
		}
		_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+memory +cpu"), 0) // fails where they are on already or are not ours to set
		have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err == nil && bytes.Contains(have, []byte("memory")) && bytes.Contains(have, []byte("cpu")) &&
			os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+memory +cpu"), 0) == nil {
			return &cgroups{version: 2, roots: map[string]string{"": dir}}
		}
		os.Remove(dir)
	}
	return nil
}

func ownCgroup() string {
	content, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	path, _ := cgroup.Group(string(content), "")
	return path
}

func (c *cgroups) describe() string {
	if c.version == 0 {
		return ""
	}
	return "cgroup v" + strconv.Itoa(c.version)
}

// create makes the group of one container with its limits. Without a hierarchy it returns nil, which limits nothing.
func (c *cgroups) create(id string, l Limits, warn func(string, error)) (*Cgroup, error) {
	if c.version == 0 || c.version == 1 && l == (Limits{}) {
		return nil, nil
	}
	g := &Cgroup{version: c.version, dirs: map[string]string{}, warn: warn}
	for controller, root := range c.roots {
		dir := filepath.Join(root, id)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			g.Remove()
			return nil, fmt.Errorf("control group: %w", err)
		}
		g.dirs[controller] = dir
	}
	if err := g.setLimits(l); err != nil {
		g.Remove()
		return nil, err
	}
	if c.version == 2 {
		f, err := os.Open(g.dirs[""])
		if err != nil {
			g.Remove()
			return nil, err
		}
		g.unified = f
	}
	return g, nil
}

func (g *Cgroup) setLimits(l Limits) error {
	type setting struct{ controller, file, value string }
	var settings []setting
	if g.version == 2 {
		if l.MemoryBytes > 0 {
			settings = append(settings, setting{"", "memory.max", strconv.FormatInt(l.MemoryBytes, 10)}, setting{"", "memory.oom.group", "1"})
		}
		if l.MilliCPU > 0 {
			settings = append(settings, setting{"", "cpu.max", fmt.Sprintf("%d %d", l.MilliCPU*cpuPeriod/1000, cpuPeriod)})
		}
		if l.CPUShares > 0 {
			// The same mapping of the two scales as the runtimes': [2, 262144] to [1, 10000].
			settings = append(settings, setting{"", "cpu.weight", strconv.FormatInt(1+(max(l.CPUShares, 2)-2)*9999/262142, 10)})
		}
	} else {
		if l.MemoryBytes > 0 {
			settings = append(settings, setting{"memory", "memory.limit_in_bytes", strconv.FormatInt(l.MemoryBytes, 10)})
		}
		if l.MilliCPU > 0 && g.dirs["cpu"] != "" {
			settings = append(settings, setting{"cpu", "cpu.cfs_quota_us", strconv.FormatInt(l.MilliCPU*cpuPeriod/1000, 10)})
		}
		if l.CPUShares > 0 && g.dirs["cpu"] != "" {
			settings = append(settings, setting{"cpu", "cpu.shares", strconv.FormatInt(l.CPUShares, 10)})
		}
	}
	for _, s := range settings {
		if err := os.WriteFile(filepath.Join(g.dirs[s.controller], s.file), []byte(s.value), 0); err != nil {
			return fmt.Errorf("limit %s=%s: %w", s.file, s.value, err)
		}
	}
	return nil
}

// add moves a process and its children into the group (version 1; in version 2 they are born there). The kernel may take milliseconds for the
// first move after a quiet time, so it runs beside the program, not before it.
func (g *Cgroup) add(pid int) {
	if g == nil || g.version == 2 {
		return
	}
	for _, dir := range g.dirs {
		for _, p := range append(descendants(pid), pid) {
			err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(p)), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) && !strings.Contains(err.Error(), "no such process") && g.warn != nil {
				g.warn("limit a process", err)
			}
		}
	}
}

// descendants lists the children of a process and theirs.
func descendants(pid int) []int {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	var all []int
	for _, t := range tasks {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		if err != nil {
			continue
		}
		for f := range bytes.FieldsSeq(children) {
			if child, err := strconv.Atoi(string(f)); err == nil {
				all = append(append(all, child), descendants(child)...)
			}
		}
	}
	return all
}

// OOMKills counts processes of the group that the kernel ended for want of memory.
func (g *Cgroup) OOMKills() int {
	if g == nil {
		return 0
	}
	file := filepath.Join(g.dirs[""], "memory.events")
	if g.version == 1 {
		file = filepath.Join(g.dirs["memory"], "memory.oom_control")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			kills, _ := strconv.Atoi(strings.TrimSpace(n)) // the kernel's own number
			return kills
		}
	}
	return 0
}

// Remove deletes the group. Its processes have ended; the kernel may need a moment to notice.
func (g *Cgroup) Remove() {
	if g == nil {
		return
	}
	if g.unified != nil {
		g.unified.Close()
	}
	for _, dir := range g.dirs {
		if err := removeCgroup(dir); err != nil && g.warn != nil {
			g.warn("remove control group", err)
		}
	}
}

// removeCgroup retries while the kernel still takes the last process apart, which no event tells of.
func removeCgroup(dir string) error {
	var err error
	for range 50 {
		if err = os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return err
}

// removeRemains deletes what a node of the same name left: its groups, deepest first, and the processes in them.
func (c *cgroups) removeRemains() error {
	var errs []error
	for _, root := range c.roots {
		entries, err := os.ReadDir(root)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() {
				errs = append(errs, removeCgroup(filepath.Join(root, e.Name())))
			}
		}
	}
	return errors.Join(errs...)
}

func (c *cgroups) close() error {
	err := c.removeRemains()
	for _, root := range c.roots {
		err = errors.Join(err, removeCgroup(root))
	}
	return err
}
