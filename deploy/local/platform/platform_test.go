package platform

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/deploy/local/state"
)

func open(t *testing.T) *state.Dir {
	t.Helper()
	dir, err := state.Open(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAKindOfNodeThatCannotBeHadNamesTheReason(t *testing.T) {
	empty := &tools{bin: t.TempDir()}
	kind, note, err := chooseNode(NodeAuto, empty)
	if err != nil || kind != NodeLight || !strings.Contains(note, "not kubelet: ") {
		t.Errorf("auto: %q %q %v", kind, note, err)
	}
	_, _, err = chooseNode(NodeKubelet, empty)
	if err == nil || !strings.Contains(err.Error(), "--node=light") {
		t.Errorf("kubelet: %v", err)
	}
	if os.Geteuid() == 0 && !strings.Contains(err.Error(), "make bin/") {
		t.Errorf("kubelet as root: %v", err)
	}
	if kind, note, err := chooseNode(NodeLight, empty); err != nil || kind != NodeLight || note != "" {
		t.Errorf("light: %q %q %v", kind, note, err)
	}
	if _, _, err := chooseNode("heavy", empty); err == nil || !strings.Contains(err.Error(), "auto, kubelet or light") {
		t.Errorf("heavy: %v", err)
	}
}

func TestAFolderThatWasNeverUsedIsDown(t *testing.T) {
	s, err := GetStatus(filepath.Join(t.TempDir(), "nowhere"))
	if err != nil || s.State != "down" || len(s.Components) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAnOrphanIsFoundAndEnded(t *testing.T) {
	dir := open(t)
	if err := dir.Save(state.Instance{Version: 1, APIPort: 1}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	r := state.Record{Name: "kubernetes", Started: time.Now(), State: "ready"}
	if err := r.Identify(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := dir.Write(r); err != nil {
		t.Fatal(err)
	}
	s, err := GetStatus(dir.Root())
	if err != nil || s.State != "crashed" || len(s.Components) != 1 || s.Components[0].RSS == 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := Down(DownOptions{State: dir.Root()}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("it still runs")
	}
	if leftovers(dir) {
		t.Error("its record is left")
	}
}

func TestNodeNamesAreWhatKubernetesAccepts(t *testing.T) {
	name := nodeName()
	if name == "" || name != strings.ToLower(name) || strings.Trim(name, "-.") != name {
		t.Errorf("%q", name)
	}
}

func TestPurgeOfNothingIsNoError(t *testing.T) {
	if err := Down(DownOptions{State: filepath.Join(t.TempDir(), "nowhere"), Purge: true}); err != nil {
		t.Error(err)
	}
}

// containerd takes the path of its shim as a name where it is no whole one, and no pod starts.
func TestAFolderOfProgramsIsAWholePath(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("bin", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("bin/ebb-kube", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	found, err := findTools("bin")
	if err != nil || !filepath.IsAbs(found.bin) || !filepath.IsAbs(found.kube) {
		t.Errorf("%+v, %v", found, err)
	}
}
