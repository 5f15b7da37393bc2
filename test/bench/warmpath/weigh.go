package warmpath

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

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
	controller, root := "cpu", h.V1["cpu"]
	if h.Unified() {
		controller, root = "", h.V2
	}
	path, ok := cgroup.Group(of, controller)
	if root == "" || !ok {
		return "", false
	}
	return root + path, true
}
