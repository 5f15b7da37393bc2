package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const hybrid = `30 23 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
32 30 0:28 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid shared:9 - cgroup cgroup rw,xattr,net_cls,net_prio
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`

const unified = `30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
`

func TestHierarchiesOfBothVersionsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		info    string
		want    Hierarchies
		unified bool
	}{
		"hybrid": {hybrid, Hierarchies{V2: "/sys/fs/cgroup/unified", V1: map[string]string{
			"cpu": "/sys/fs/cgroup/cpu", "net_cls": "/sys/fs/cgroup/net_cls,net_prio", "net_prio": "/sys/fs/cgroup/net_cls,net_prio",
			"name=systemd": "/sys/fs/cgroup/systemd"}}, false},
		"version 2": {unified, Hierarchies{V2: "/sys/fs/cgroup", V1: map[string]string{}}, true},
		"none":      {"", Hierarchies{V1: map[string]string{}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := parseMountinfo(c.info)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if got.Unified() != c.unified {
				t.Errorf("unified: %v", got.Unified())
			}
		})
	}
}

func TestTheGroupOfAProcessIsFound(t *testing.T) {
	const both = "8:pids:/ebb/system\n1:cpu,cpuacct:/ebb/a:b\n0::/user.slice\n"
	for name, c := range map[string]struct{ of, controller, want string }{
		"version 1":        {both, "pids", "/ebb/system"},
		"mounted together": {both, "cpuacct", "/ebb/a:b"},
		"version 2":        {both, "", "/user.slice"},
		"not mounted":      {both, "memory", ""},
		"version 1 only":   {"8:pids:/ebb\n", "", ""},
		"nothing":          {"", "cpu", ""},
	} {
		if got, ok := Group(c.of, c.controller); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %t", name, got, ok)
		}
	}
}

func FuzzGroup(f *testing.F) {
	f.Add("8:pids:/ebb/system\n0::/user.slice\n", "pids")
	f.Add("0::/user.slice\n", "")
	f.Add("::", ",")
	f.Fuzz(func(t *testing.T, of, controller string) {
		if path, ok := Group(of, controller); !strings.Contains(of, path) || !ok && path != "" {
			t.Errorf("%q, %t", path, ok)
		}
	})
}

func FuzzParseMountinfo(f *testing.F) {
	f.Add(hybrid)
	f.Add(unified)
	f.Add(" - cgroup")
	f.Fuzz(func(t *testing.T, info string) {
		for controller, path := range parseMountinfo(info).V1 {
			if controller == "" || path == "" {
				t.Errorf("%q at %q", controller, path)
			}
		}
	})
}

func TestEverythingInTheSubtreeDiesAndTheSubtreeGoes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make cgroups")
	}
	h, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	tree := NewTree(h, fmt.Sprintf("ebb-test-%d", os.Getpid()))
	if err := tree.Create(); err != nil {
		t.Skipf("cgroups are not writable here: %v", err)
	}
	t.Cleanup(func() { tree.Kill(); tree.Remove() })
	cmd := exec.Command("sh", "-c", "read go; setsid sh -c 'trap \"\" TERM; sleep 1000' & sleep 1000")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := tree.Adopt(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	n, err := tree.Kill()
	if err != nil || n < 1 {
		t.Fatalf("killed %d: %v", n, err)
	}
	<-done
	if err := tree.Remove(); err != nil {
		t.Fatal(err)
	}
	for _, root := range h.roots() {
		if _, err := os.Stat(root + "/" + tree.name); !os.IsNotExist(err) {
			t.Errorf("%s is still there", root+"/"+tree.name)
		}
	}
}
