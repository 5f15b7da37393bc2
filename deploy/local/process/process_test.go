package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ebb.dev/ebb/deploy/local/state"
)

// TestMain is also the victim of TestChildrenDieWithAKilledSupervisor: a supervisor with one child.
func TestMain(m *testing.M) {
	if path := os.Getenv("EBB_TEST_SUPERVISOR"); path != "" {
		dir, err := state.Open(path)
		if err == nil {
			err = New(dir, nil, slog.Default()).Start(context.Background(), Spec{Name: "child", Path: "/bin/sh", Args: []string{"-c", "sleep 1000"}})
		}
		fmt.Println("started", err)
		select {}
	}
	os.Exit(m.Run())
}

func setUp(t *testing.T) (*Supervisor, *state.Dir) {
	t.Helper()
	dir, err := state.Open(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := New(dir, nil, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	t.Cleanup(s.StopAll)
	return s, dir
}

// sh is a component that runs a shell script; it is ready when it has written to its log.
func sh(dir *state.Dir, name, script string) Spec {
	return Spec{Name: name, Path: "/bin/sh", Args: []string{"-c", script}, Ready: func(context.Context) error {
		if data, err := os.ReadFile(dir.Log(name)); err != nil || !strings.Contains(string(data), "ready") {
			return errors.New("nothing said")
		}
		return nil
	}}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not after 10 s: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func recordOf(t *testing.T, dir *state.Dir, name string) *state.Record {
	t.Helper()
	records, err := dir.Records()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Name == name {
			return &r
		}
	}
	return nil
}

func TestStartReturnsWhenTheComponentServes(t *testing.T) {
	s, dir := setUp(t)
	if err := s.Start(context.Background(), sh(dir, "a", "sleep 0.1; echo ready; exec sleep 1000")); err != nil {
		t.Fatal(err)
	}
	r := recordOf(t, dir, "a")
	if r == nil || !r.Alive() || r.State != "ready" {
		t.Fatalf("record %+v", r)
	}
	s.Stop("a")
	if r.Alive() || recordOf(t, dir, "a") != nil {
		t.Error("still there after Stop")
	}
}

// In one session Linux gives all components one share of the processors: a loaded gateway would take it from Kubernetes.
func TestAComponentHasASessionOfItsOwn(t *testing.T) {
	s, dir := setUp(t)
	for _, name := range []string{"a", "b"} {
		if err := s.Start(context.Background(), sh(dir, name, "echo ready; exec sleep 1000")); err != nil {
			t.Fatal(err)
		}
		pid := recordOf(t, dir, name).PID
		if session, err := unix.Getsid(pid); err != nil || session != pid {
			t.Errorf("%s, process %d, is in session %d (%v)", name, pid, session, err)
		}
	}
}

func TestAFailedStartSaysWhyAndWhereTheLogIs(t *testing.T) {
	s, dir := setUp(t)
	err := s.Start(context.Background(), sh(dir, "a", "echo cannot open /x; exit 3"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"a ended while starting", "exit status 3", "cannot open /x", dir.Log("a")} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	slow := sh(dir, "b", "exec sleep 1000")
	slow.ReadyTimeout = 50 * time.Millisecond
	if err := s.Start(context.Background(), slow); err == nil || !strings.Contains(err.Error(), "b is not ready after") || !strings.Contains(err.Error(), "nothing said") {
		t.Errorf("slow: %v", err)
	}
	if r := recordOf(t, dir, "b"); r != nil {
		t.Errorf("the slow one was left: %+v", r)
	}
}

func TestACrashedComponentIsStartedAgain(t *testing.T) {
	s, dir := setUp(t)
	if err := s.Start(context.Background(), sh(dir, "a", "echo ready; exec sleep 1000")); err != nil {
		t.Fatal(err)
	}
	first := recordOf(t, dir, "a")
	if err := first.Signal(9); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another process", func() bool {
		r := recordOf(t, dir, "a")
		return r != nil && r.PID != first.PID && r.State == "ready" && r.Restarts == 1
	})
}

func TestRestartsWaitLongerEachTime(t *testing.T) {
	var got []time.Duration
	for n := 1; n <= 12; n++ {
		got = append(got, delay(n))
	}
	if !slices.IsSorted(got) || got[0] != firstDelay || got[11] != lastDelay {
		t.Errorf("%v", got)
	}
}

func TestStopIsInReverseOrderAndNotHeldUpByTheStubborn(t *testing.T) {
	s, dir := setUp(t)
	out := filepath.Join(t.TempDir(), "out")
	for _, name := range []string{"first", "second"} {
		script := "trap 'echo " + name + " >>" + out + "; exit' TERM; echo ready; while :; do sleep 0.01; done"
		if err := s.Start(context.Background(), sh(dir, name, script)); err != nil {
			t.Fatal(err)
		}
	}
	stubborn := sh(dir, "stubborn", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
	stubborn.StopTimeout = 50 * time.Millisecond
	if err := s.Start(context.Background(), stubborn); err != nil {
		t.Fatal(err)
	}
	s.StopAll()
	if data, _ := os.ReadFile(out); string(data) != "second\nfirst\n" {
		t.Errorf("order: %q", data)
	}
	if records, _ := dir.Records(); len(records) != 0 {
		t.Errorf("left: %+v", records)
	}
}

func TestDescriptorsAndEnvironmentReachTheChildAndItsSuccessor(t *testing.T) {
	s, dir := setUp(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	spec := sh(dir, "a", "echo $EBB_X >&3; echo ready; exec sleep 1000")
	spec.Env, spec.Files = []string{"EBB_X=hello"}, []*os.File{w}
	if err := s.Start(context.Background(), spec); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		buf := make([]byte, 16)
		n, _ := r.Read(buf)
		return string(buf[:n])
	}
	if got := read(); got != "hello\n" {
		t.Fatalf("got %q", got)
	}
	if err := recordOf(t, dir, "a").Signal(9); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != "hello\n" {
		t.Errorf("the successor: %q", got)
	}
}

func TestChildrenDieWithAKilledSupervisor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EBB_TEST_SUPERVISOR="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, _ := out.Read(buf); !strings.HasPrefix(string(buf[:n]), "started <nil>") {
		cmd.Process.Kill()
		t.Fatalf("victim: %q", buf[:n])
	}
	dir, err := state.Find(path)
	if err != nil {
		t.Fatal(err)
	}
	r := recordOf(t, dir, "child")
	if r == nil || !r.Alive() {
		t.Fatalf("child of %s: %+v", strconv.Itoa(cmd.Process.Pid), r)
	}
	cmd.Process.Kill()
	cmd.Wait()
	eventually(t, "the child is gone", func() bool { return !r.Alive() })
}

func TestALargeLogIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, keptLog+1); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := trimLog(path); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.WriteString("next"); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(path); string(data) != "next" {
		t.Errorf("%d bytes after the trim", len(data))
	}
	if info, err := os.Stat(path + ".old"); err != nil || info.Size() != keptLog+1 {
		t.Errorf("old: %v", err)
	}
}

func TestAnErrorTellsThePanicAndNotTheStacksThatFollow(t *testing.T) {
	lines := []string{"starting", "fatal error: concurrent map writes", "", "goroutine 812 [running]:", "a.go:1"}
	for range 50 {
		lines = append(lines, "goroutine 9 [select]:", strings.Repeat("x", 1000))
	}
	if got := telling(lines); !strings.HasPrefix(got, ", which says:\n  fatal error: concurrent map writes\n") || len(got) > 2500 {
		t.Errorf("%q", got)
	}
	if got := telling([]string{"1", "2", "3", "4", "5", "6", "7"}); got != ", which ends:\n  2\n  3\n  4\n  5\n  6\n  7" {
		t.Errorf("%q", got)
	}
}
