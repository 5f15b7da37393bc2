package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A program that needs libraries runs in the bundle, with nothing of this machine around it.
func TestAGatheredProgramStarts(t *testing.T) {
	program, err := exec.LookPath("cat")
	if err != nil {
		t.Skip("no program to gather: ", err)
	}
	dir := t.TempDir()
	if err := Gather(dir, []Program{{Source: program, Target: "/usr/local/bin/cat"}}); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may change the root folder")
	}
	cmd := exec.Command("/usr/local/bin/cat", "/etc/passwd")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "nonroot:x:65532") {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestWhatIsMissingIsToldHere(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Gather(t.TempDir(), []Program{{Source: script, Target: "/script"}}); err == nil || !strings.Contains(err.Error(), "not a Linux program") {
		t.Errorf("a script: %v", err)
	}
	if err := Gather(t.TempDir(), []Program{{Source: "/proc/self/exe", Target: "relative"}}); err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("a relative target: %v", err)
	}
}
