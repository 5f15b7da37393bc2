package state

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOnlyOneSupervisorHoldsTheFolder(t *testing.T) {
	d := open(t)
	lock, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Lock()
	var busy *BusyError
	if !errors.As(err, &busy) || busy.PID != os.Getpid() || !strings.Contains(err.Error(), "ebb down") {
		t.Errorf("second lock: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(); err != nil {
		t.Errorf("after release: %v", err)
	}
}

func TestChoicesSurviveARestart(t *testing.T) {
	d := open(t)
	if d.Exists() {
		t.Error("a new folder exists already")
	}
	want := Instance{Version: layout, Network: 3, APIPort: 6443, HTTPPort: 8080, Node: "kubelet", NodeName: "laptop"}
	if err := d.Save(want); err != nil {
		t.Fatal(err)
	}
	got, err := d.Load()
	if err != nil || got != want || !d.Exists() {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAStaleOrDamagedFolderNamesTheRemedy(t *testing.T) {
	for name, content := range map[string]string{"another layout": `{"version": 99}`, "torn": `{"vers`} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			if err := os.WriteFile(d.Path("instance.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Load(); err == nil || !strings.Contains(err.Error(), "ebb down --purge") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSocketsFitBelowALongPath(t *testing.T) {
	long, err := Find("/" + strings.Repeat("long-folder/", 20))
	if err != nil {
		t.Fatal(err)
	}
	if p := long.Run("containerd", "containerd.sock.ttrpc"); len(p) > 107 {
		t.Errorf("%d bytes: %s", len(p), p)
	}
	short, _ := Find("/home/someone/.ebb")
	if short.Run("x") != "/home/someone/.ebb/run/x" || short.ID() == long.ID() {
		t.Errorf("%s", short.Run("x"))
	}
}

func sleeper(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

func TestAProcessIsEndedEvenIfItIgnoresTerm(t *testing.T) {
	cmd := sleeper(t, "trap '' TERM; echo; while :; do sleep 1; done")
	go cmd.Wait()
	r := Record{Name: "stubborn"}
	if err := r.Identify(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if !r.Alive() {
		t.Fatal("not alive")
	}
	if err := r.End(50 * time.Millisecond); err != nil || r.Alive() {
		t.Errorf("end: %v, alive %v", err, r.Alive())
	}
}

func TestAReusedPidIsNeverSignalled(t *testing.T) {
	cmd := sleeper(t, "sleep 100")
	r := Record{Name: "gone"}
	if err := r.Identify(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(r *Record){
		"another start": func(r *Record) { r.Ticks-- },
		"another boot":  func(r *Record) { r.Boot = "before" },
	} {
		other := r
		change(&other)
		if other.Alive() {
			t.Errorf("%s: taken for the recorded process", name)
		}
		if err := other.End(time.Second); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !r.Alive() {
		t.Error("the process that has the pid now was ended")
	}
}

func TestRecordsComeInStartOrder(t *testing.T) {
	d := open(t)
	for i, name := range []string{"kube", "containerd", "a"} {
		if err := d.Write(Record{Name: name, PID: 1, Order: i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(d.records(), "torn.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Forget("containerd"); err != nil {
		t.Fatal(err)
	}
	got, err := d.Records()
	if err != nil || len(got) != 2 || got[0].Name != "kube" || got[1].Name != "a" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20")
	f.Add("1 (x) Z 1")
	f.Add(")")
	f.Fuzz(func(t *testing.T, line string) {
		if ticks, err := parseStat(line); err != nil && ticks != 0 {
			t.Errorf("%q: %d with %v", line, ticks, err)
		}
	})
}

func TestStartTimeIsFoundBehindAnyCommandName(t *testing.T) {
	got, err := parseStat("12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20")
	if err != nil || got != 4711 {
		t.Errorf("got %d, %v", got, err)
	}
}
