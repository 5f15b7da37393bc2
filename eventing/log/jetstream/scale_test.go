package jetstream

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/log/logtest"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/test/nats"
)

func appendTest(t testing.TB, l *Log, id string, size int) log.Position {
	t.Helper()
	p, err := l.Append(t.Context(), testStream, logtest.Event("s", id, size))
	if err != nil {
		t.Fatal(err)
	}
	return p[0]
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestIdleReadersAreCheap has a thousand readers follow one stream and keep their states.
func TestIdleReadersAreCheap(t *testing.T) {
	const readers = 1000
	l := openTest(t, Options{Relaxed: true})
	ensureTest(t, l, model.Limits{})
	appendTest(t, l, "first", 0)
	before := memory()
	ctx, cancel := context.WithCancel(t.Context())
	var got atomic.Int64
	all := make(chan struct{}, 2*readers)
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			if err := l.Keep(ctx, testStream, model.ReaderID(fmt.Sprint(i)), 1, []byte("state")); err != nil {
				t.Error(err)
			}
			err := l.Follow(ctx, testStream, 0, func(log.Record) error {
				got.Add(1)
				all <- struct{}{}
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	for range readers {
		<-all
	}
	appendTest(t, l, "second", 0)
	for range readers {
		<-all
	}
	each := (memory() - before) / readers
	t.Logf("%d bytes for each idle reader", each)
	if each > 20_000 {
		t.Errorf("an idle reader takes %d bytes", each)
	}
	cancel()
	wg.Wait()
}

// TestManyStreamsAreCheap makes many streams, appends to each, and opens them again. What a stream takes is for the most part the buffer of
// its last block, which the server drops after ten seconds without a write.
func TestManyStreamsAreCheap(t *testing.T) {
	const streams = 500
	o := Options{Dir: t.TempDir(), Relaxed: true}
	before := memory()
	l := openTest(t, o)
	began := time.Now()
	for i := range streams {
		id := model.StreamID(fmt.Sprintf("Broker/ns-%d/default", i))
		if err := l.Ensure(t.Context(), model.Stream{ID: id}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), id, logtest.Event("s", "1", 100)); err != nil {
			t.Fatal(err)
		}
	}
	made, each := time.Since(began), (memory()-before)/streams
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	l = openTest(t, o)
	if n := len(l.all()); n != streams {
		t.Fatalf("%d streams after a restart", n)
	}
	t.Logf("%d streams made in %v, opened again in %v; %d bytes each", streams, made, time.Since(began), each)
	if each > 400_000 {
		t.Errorf("a stream takes %d bytes", each)
	}
}

// TestSlowReaderReadsBehindAndCatchesUp has one reader that is far behind what is in memory, while another follows the head.
func TestSlowReaderReadsBehindAndCatchesUp(t *testing.T) {
	const events = 3000
	l := openTest(t, Options{Relaxed: true})
	ensureTest(t, l, model.Limits{})
	enough := errors.New("enough")
	follow := func(begun chan struct{}, wait chan struct{}) error {
		var last log.Position
		return l.Follow(t.Context(), testStream, 0, func(r log.Record) error {
			if r.Position == 1 {
				close(begun)
				<-wait
			}
			if r.Position != last+1 || r.Event.ID() != fmt.Sprint(r.Position) {
				return fmt.Errorf("position %d, event %s after %d", r.Position, r.Event.ID(), last)
			}
			if last = r.Position; last == events {
				return enough
			}
			return nil
		})
	}
	open, wait := make(chan struct{}), make(chan struct{})
	close(open)
	results := make(chan error, 2)
	for _, w := range []chan struct{}{open, wait} {
		begun := make(chan struct{})
		go func() { results <- follow(begun, w) }()
		if w == wait {
			appendTest(t, l, "1", 1000)
			<-begun
		}
	}
	for i := 2; i <= events; i++ {
		appendTest(t, l, fmt.Sprint(i), 1000)
	}
	if err := <-results; !errors.Is(err, enough) {
		t.Fatal(err)
	}
	close(wait)
	if err := <-results; !errors.Is(err, enough) {
		t.Fatal(err)
	}
}

// TestReadersJournalStaysSmall keeps states over and over.
func TestReadersJournalStaysSmall(t *testing.T) {
	o := Options{Dir: t.TempDir(), Relaxed: true}
	l := openTest(t, o)
	ensureTest(t, l, model.Limits{})
	state := make([]byte, 2000)
	for i := range 3000 {
		for _, r := range []model.ReaderID{"a", "b"} {
			if err := l.Keep(t.Context(), testStream, r, log.Position(i), fmt.Appendf(state[:0:0], "%s %d%2000d", r, i, 0)); err != nil {
				t.Fatal(err)
			}
		}
		if i == 10 {
			if err := l.Keep(t.Context(), testStream, "quiet", 5, []byte("quiet")); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func() {
		t.Helper()
		for reader, want := range map[model.ReaderID]string{"a": "a 2999", "b": "b 2999", "quiet": "quiet"} {
			got, err := l.Kept(t.Context(), testStream, reader)
			if err != nil || len(got) < len(want) || string(got[:len(want)]) != want {
				t.Errorf("%s: %.20q, %v", reader, got, err)
			}
		}
		if slowest, any := l.readers.slowest(testStream); slowest != 5 || !any {
			t.Errorf("the slowest has read up to %d", slowest)
		}
		if l.readers.total > 3*journalSlack {
			t.Errorf("the journal has %d bytes for %d that are valid", l.readers.total, l.readers.valid)
		}
	}
	check()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openTest(t, o)
	check()
}

func TestExternalServerKeepsThePromises(t *testing.T) {
	logtest.Run(t, func(t *testing.T) logtest.Opened {
		c := &clock{at: time.Now()}
		return opened(t, Options{URL: nats.Start(t), Now: c.now}, c)
	})
}

// TestTwoProcessesDoNotOverwriteEachOther has two logs on one server, as when the old process has not yet noticed that another took over.
func TestTwoProcessesDoNotOverwriteEachOther(t *testing.T) {
	url := nats.Start(t)
	a := openTest(t, Options{URL: url})
	ensureTest(t, a, model.Limits{Dedupe: time.Hour})
	appendTest(t, a, "0", 0)
	b := openTest(t, Options{URL: url})
	var wg sync.WaitGroup
	var mu sync.Mutex
	positions := make(map[log.Position]string)
	for name, l := range map[string]*Log{"a": a, "b": b} {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprint(name, i)
				p, err := l.Append(t.Context(), testStream, logtest.Event("s", id, 10))
				if errors.Is(err, log.ErrUnavailable) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if other, has := positions[p[0]]; has {
					t.Errorf("position %d is %s and %s", p[0], other, id)
				}
				positions[p[0]] = id
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for p, id := range positions {
		records, err := openTest(t, Options{URL: url}).Get(t.Context(), testStream, p)
		if err != nil || len(records) != 1 || records[0].Event.ID() != id {
			t.Fatalf("position %d: %v, %v instead of %s", p, records, err, id)
		}
		break
	}
	// An event that one has stored is a duplicate for the other.
	was := appendTest(t, a, "same", 0)
	if again := appendTest(t, b, "same", 0); again != was {
		t.Errorf("stored twice, at %d and %d", was, again)
	}
}
