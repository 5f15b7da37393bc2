package processes

import (
	"os"
	"os/exec"
	"testing"
)

func TestATreeHasItsDescendants(t *testing.T) {
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Skipf("needs sleep(1): %v", err)
	}
	defer func() { child.Process.Kill(); child.Wait() }()
	tree, err := Tree(os.Getpid())
	if err != nil || tree[0].PID != os.Getpid() {
		t.Fatalf("%v %v", err, tree)
	}
	for _, p := range tree {
		if p.PID == child.Process.Pid && p.Parent == os.Getpid() {
			return
		}
	}
	t.Errorf("%d is not in %v", child.Process.Pid, tree)
}

func TestOurOwnFiguresAreThere(t *testing.T) {
	if m, err := MemoryOf(os.Getpid()); err != nil || m.PSS == 0 || m.RSS < m.PSS {
		t.Errorf("%+v %v", m, err)
	}
	if _, err := CPU(os.Getpid()); err != nil {
		t.Error(err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("1 (a b) c) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 9 10")
	f.Fuzz(func(t *testing.T, line string) {
		if fields, err := parseStat(line); err == nil && len(fields) < 13 {
			t.Errorf("%q: %v", line, fields)
		}
	})
}
