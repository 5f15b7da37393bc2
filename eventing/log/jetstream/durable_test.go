package jetstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/logtest"
	"ebb.dev/ebb/eventing/model"
)

const testStream = model.StreamID("Broker/default/default")

func ensureTest(t testing.TB, l *Log, limits model.Limits) {
	t.Helper()
	if err := l.Ensure(t.Context(), model.Stream{ID: testStream, Kind: model.Broker, Limits: limits}); err != nil {
		t.Fatal(err)
	}
}

// childDir tells the test binary that it is the process to be killed.
const childDir = "EBB_EVENT_LOG_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		appendForever(dir)
		return
	}
	os.Exit(m.Run())
}

// appendForever appends from several writers and prints what was acknowledged, after it was.
func appendForever(dir string) {
	l, err := Open(context.Background(), Options{Dir: dir})
	if err == nil {
		err = l.Ensure(context.Background(), model.Stream{ID: testStream})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				p, err := l.Append(context.Background(), testStream, logtest.Event(fmt.Sprint(w), fmt.Sprint(i), 300))
				if err != nil {
					return
				}
				fmt.Printf("%d %d %d\n", w, i, p[0])
			}
		})
		wg.Go(func() {
			for i := 1; ; i++ {
				if l.Keep(context.Background(), testStream, model.ReaderID(fmt.Sprint(w)), 0, fmt.Append(nil, i)) != nil {
					return
				}
				fmt.Printf("kept %d %d\n", w, i)
			}
		})
	}
	wg.Wait()
}

// TestKilledProcessHasEveryAcknowledgedEvent kills the process that appends; what it was told is stored has to be there, in its order.
func TestKilledProcessHasEveryAcknowledgedEvent(t *testing.T) {
	dir := t.TempDir()
	acknowledged, kept := make(map[string]log.Position), make(map[string]int)
	for round := range 2 {
		killChild(t, dir, round, acknowledged, kept)
		l := openTest(t, Options{Dir: dir})
		stored := make(map[string]log.Position)
		_, next, err := l.Bounds(t.Context(), testStream)
		if err != nil {
			t.Fatal(err)
		}
		enough := errors.New("enough")
		var last log.Position
		err = l.Follow(t.Context(), testStream, 0, func(r log.Record) error {
			if r.Position != last+1 {
				t.Errorf("position %d after %d", r.Position, last)
			}
			last = r.Position
			stored[r.Event.Source()+" "+r.Event.ID()+" "+fmt.Sprint(r.Position)] = r.Position
			if r.Position+1 >= next {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		for key, p := range acknowledged {
			if stored[key] != p {
				t.Fatalf("acknowledged, not stored: %s", key)
			}
		}
		for reader, at := range kept {
			state, err := l.Kept(t.Context(), testStream, model.ReaderID(reader))
			if n, _ := strconv.Atoi(string(state)); err != nil || n < at {
				t.Fatalf("reader %s: kept %d, found %q, %v", reader, at, state, err)
			}
		}
		t.Logf("round %d: %d acknowledged, %d stored, readers' states %v", round, len(acknowledged), len(stored), kept)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		clear(kept)
	}
}

func killChild(t *testing.T, dir string, round int, acknowledged map[string]log.Position, kept map[string]int) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == 400*(round+1) {
			_ = child.Process.Kill()
		}
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			continue
		}
		last, err := strconv.Atoi(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		if fields[0] == "kept" {
			kept[fields[1]] = last
			continue
		}
		acknowledged[lines.Text()] = log.Position(last)
	}
	_ = child.Wait()
}

// TestDurableAppendSyncsBeforeItReturns watches the system calls of a process that appends: between two acknowledgements of one writer there
// is an fsync.
func TestDurableAppendSyncsBeforeItReturns(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: whether the disk has it cannot be seen from here")
	}
	dir := t.TempDir()
	trace := dir + "/trace"
	child := exec.Command(strace, "-f", "-qq", "-y", "-e", "trace=fsync,fdatasync,write", "-s", "64", "-o", trace, os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir+"/log")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Skipf("strace cannot run here: %v", err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == 400 {
			_ = child.Process.Signal(os.Interrupt)
			break
		}
	}
	_ = out.Close()
	_ = child.Wait()
	data, err := os.ReadFile(trace)
	if err != nil || len(data) == 0 {
		t.Skipf("strace traces nothing here: %v", err)
	}
	acks := checkTrace(t, string(data))
	if acks < 200 {
		t.Fatalf("only %d acknowledgements were seen", acks)
	}
	t.Logf("%d acknowledgements, each after its sync", acks)
}

// checkTrace reads a trace. A writer's acknowledgement is its write to standard output; since its last one, a sync of a file of what it writes
// to has to have ended: the stream, or the readers' journal.
func checkTrace(t *testing.T, trace string) int {
	acks := 0
	// syncs counts, pending has the file that a thread is syncing, since what syncs a writer saw last.
	syncs, pending, since := make(map[bool]int), make(map[string]string), make(map[string]int)
	for line := range strings.Lines(trace) {
		thread, _, _ := strings.Cut(line, " ")
		switch {
		case strings.Contains(line, "sync("):
			pending[thread] = line
			if strings.Contains(line, "unfinished") {
				continue
			}
			syncs[strings.Contains(line, "readers")]++
		case strings.Contains(line, "sync resumed"):
			syncs[strings.Contains(pending[thread], "readers")]++
		case strings.Contains(line, "write(1<"):
			_, text, _ := strings.Cut(line, "\"")
			writer, kept := strings.CutPrefix(text, "kept ")
			writer, _, _ = strings.Cut(writer, " ")
			key := fmt.Sprint(kept, writer)
			if before, ok := since[key]; ok && syncs[kept] == before {
				t.Errorf("acknowledged without a sync since the last one: %s", line)
			}
			since[key] = syncs[kept]
			acks++
		}
	}
	return acks
}

func TestFolderOfAnotherProcessIsRefused(t *testing.T) {
	l := openTest(t, Options{Relaxed: true})
	_, err := Open(t.Context(), Options{Dir: l.options.Dir})
	if err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Fatal(err)
	}
}

func TestClosedLogIsUnavailable(t *testing.T) {
	l := openTest(t, Options{Relaxed: true})
	ensureTest(t, l, model.Limits{})
	ended := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		ended <- l.Follow(t.Context(), testStream, 0, func(log.Record) error { close(begun); return nil })
	}()
	if _, err := l.Append(t.Context(), testStream, logtest.Event("s", "1", 0)); err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, log.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), testStream, logtest.Event("s", "2", 0)); !errors.Is(err, log.ErrUnavailable) {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
