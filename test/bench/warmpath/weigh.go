package warmpath

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ebb.dev/ebb/deploy/local/cgroup"
)

// weighLike puts a process into the control group that another one's share of the processors comes from. Peers that are no part of a platform
// would wait longer than its processes, or less, and not for what they do.
func weighLike(pid, like int) error {
	h, err := cgroup.Detect()
	if err != nil {
		return err
	}
	of, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", like))
	if err != nil {
		return err
	}
	group, ok := weighing(string(of), h)
	if !ok {
		return nil // the machine weighs nothing by group
	}
	return os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// weighing is the folder of the group that a process's share of the processors comes from, by its /proc/PID/cgroup.
func weighing(of string, h cgroup.Hierarchies) (string, bool) {
	for line := range strings.Lines(of) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		switch {
		case !ok:
		case h.Unified() && controllers == "":
			return h.V2 + path, true
		case slices.Contains(strings.Split(controllers, ","), "cpu") && h.V1["cpu"] != "":
			return h.V1["cpu"] + path, true
		}
	}
	return "", false
}
