package dispatch

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/dispatch/position"
	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/filter"
	"ebb.dev/ebb/eventing/model"
)

// taking is a Sender that delivers everything at once.
type taking struct{ n atomic.Int64 }

func (s *taking) Send(context.Context, send.Request) send.Answer {
	s.n.Add(1)
	return send.Answer{Status: http.StatusAccepted}
}

// ofType is a filter as a Trigger has it.
func ofType(t *testing.T, name string) filter.Filter {
	t.Helper()
	f, err := filter.Compile(filter.Spec{Filters: []filter.Dialect{{Exact: map[string]string{"type": name}}}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

func TestIdleReadersCostLittle(t *testing.T) {
	const readers, events = 1000, 2000
	m := newMemory(time.Now, broker)
	var specs []model.Reader
	for i := range readers {
		reader := trigger(fmt.Sprint(i), "http://127.0.0.1:1")
		reader.Filter = ofType(t, fmt.Sprint("type-", i))
		specs = append(specs, reader)
	}
	specs[0].Filter = nil
	before := heap()
	sender := &taking{}
	d := New(Options{Log: m, Sender: sender})
	if err := d.Set(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	each := (heap() - before) / readers
	keeps, goroutines := m.keeps, runtime.NumGoroutine()
	for i := range events {
		if _, err := m.Append(t.Context(), broker, newEvent(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all is delivered", func() bool { return sender.n.Load() == events })
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t.Logf("%d bytes and %d goroutines for %d idle readers: %d bytes each; %d positions kept after", each*readers, goroutines, readers, each, m.keeps-keeps)
	if each > 20<<10 {
		t.Errorf("an idle reader takes %d bytes", each)
	}
	if goroutines > 100 {
		t.Errorf("%d goroutines", goroutines)
	}
	// The one reader that gets all may fall behind and read a part again; the others never do.
	if m.follows > 2*events {
		t.Errorf("%d records read for %d events", m.follows, events)
	}
	for id, state := range m.streams[broker].states {
		if s, err := position.Decode(state); err != nil || s.Scanned != events {
			t.Fatalf("%s: %+v %v", id, s, err)
		}
	}
}

// benchmark delivers b.N events, published beforehand, and says how many in a second.
func benchmark(b *testing.B, sender Sender, readers ...model.Reader) {
	m := newMemory(time.Now, broker)
	e := newEvent("1")
	_ = e.SetData("application/json", make([]byte, 512))
	for range b.N {
		if _, err := m.Append(b.Context(), broker, e); err != nil {
			b.Fatal(err)
		}
	}
	d := New(Options{Log: m, Sender: sender})
	if err := d.Set(b.Context(), readers); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	b.ResetTimer()
	go func() { ended <- d.Run(ctx) }()
	for done := false; !done; time.Sleep(100 * time.Microsecond) {
		done = true
		for _, s := range d.Snapshot() {
			done = done && s.Delivered == uint64(b.N)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N*len(readers))/b.Elapsed().Seconds(), "events/s")
	cancel()
	<-ended
}

func BenchmarkWithoutHTTP(b *testing.B) { benchmark(b, &taking{}, trigger("one", "http://s")) }

func BenchmarkWithoutHTTPTenReaders(b *testing.B) {
	var readers []model.Reader
	for i := range 10 {
		readers = append(readers, trigger(fmt.Sprint(i), "http://s"))
	}
	benchmark(b, &taking{}, readers...)
}

func BenchmarkOverLoopback(b *testing.B) {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })}
	url := listen(b, server)
	s := send.New(send.Options{})
	defer s.Close()
	benchmark(b, s, trigger("one", url))
}

func BenchmarkOverLoopbackOrdered(b *testing.B) {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })}
	url := listen(b, server)
	s := send.New(send.Options{})
	defer s.Close()
	reader := trigger("one", url)
	reader.Ordered = true
	benchmark(b, s, reader)
}

// listen serves on loopback until the benchmark ends.
func listen(b *testing.B, server *http.Server) (url string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}
