package platform

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"ebb.dev/ebb/deploy/local/state"
)

// Status is how a platform is.
type Status struct {
	// State is "ready", "starting", "down" or "crashed" (processes or other traces without a supervisor).
	State string `json:"state"`
	// Folder is the state folder, Kubeconfig the way in.
	Folder     string `json:"folder"`
	Kubeconfig string `json:"kubeconfig"`
	// Node is the kind of node.
	Node string `json:"node,omitempty"`
	// Components are the processes, in start order.
	Components []ComponentStatus `json:"components"`
}

// ComponentStatus is how one process is.
type ComponentStatus struct {
	Name string `json:"name"`
	// State is "starting", "ready", "restarting" or "dead".
	State    string `json:"state"`
	PID      int    `json:"pid"`
	Restarts int    `json:"restarts"`
	// RSS is resident memory in bytes.
	RSS int64 `json:"rss"`
	// Uptime is in seconds.
	Uptime  float64 `json:"uptimeSeconds"`
	Address string  `json:"address,omitempty"`
	Log     string  `json:"log"`
}

// GetStatus looks at the platform in the state folder at path.
func GetStatus(path string) (Status, error) {
	dir, err := state.Find(path)
	if err != nil {
		return Status{}, err
	}
	s := Status{State: "down", Folder: dir.Root(), Kubeconfig: dir.Kubeconfig()}
	if !dir.Exists() {
		return s, nil
	}
	inst, err := dir.Load()
	if err != nil {
		return s, err
	}
	s.Node = inst.Node
	records, err := dir.Records()
	if err != nil {
		return s, err
	}
	supervised := false
	for _, r := range records {
		c := ComponentStatus{Name: r.Name, State: r.State, PID: r.PID, Restarts: r.Restarts, Address: r.Address, Log: r.Log}
		if r.Alive() {
			c.RSS, c.Uptime = rss(r.PID), time.Since(r.Started).Seconds()
		} else if r.State != "restarting" {
			c.State = "dead"
		}
		if r.Name == state.Supervisor {
			supervised = r.Alive()
			s.State = c.State
		}
		s.Components = append(s.Components, c)
	}
	if !supervised && leftovers(dir) {
		s.State = "crashed"
	}
	return s, nil
}

// rss reads the resident memory of pid in bytes.
func rss(pid int) int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}
