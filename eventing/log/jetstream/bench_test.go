package jetstream

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	js "github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"ebb.dev/ebb/eventing/log/logtest"
	"ebb.dev/ebb/eventing/model"
)

// benchBytes is the data of one event.
const benchBytes = 512

// BenchmarkAppend compares what this log accepts with what JetStream itself accepts from as many clients: raw is a plain publish of the same
// data with an acknowledgement, in the same server and with its settings. Rounds of both take turns, so that a busy machine slows both.
func BenchmarkAppend(b *testing.B) {
	for _, relaxed := range []bool{false, true} {
		for _, clients := range []int{1, 32} {
			for _, window := range []time.Duration{0, 2 * time.Minute} {
				name := fmt.Sprintf("relaxed=%t/clients=%d/dedupe=%v", relaxed, clients, window)
				b.Run(name, func(b *testing.B) { benchAppend(b, relaxed, clients, window) })
			}
		}
	}
}

func benchAppend(b *testing.B, relaxed bool, clients int, window time.Duration) {
	l := openTest(b, Options{Relaxed: relaxed})
	ensureTest(b, l, model.Limits{Dedupe: window})
	if err := l.store.ensure(b.Context(), js.StreamConfig{Name: "raw", Subjects: []string{"raw"}, Storage: js.FileStorage, MaxBytes: -1}); err != nil {
		b.Fatal(err)
	}
	var raw, ours round
	const perRound = 400
	for done := 0; done < b.N; done += perRound {
		raw.run(b, clients, perRound, func(int64) error {
			_, err := l.store.js.Publish(b.Context(), "raw", benchData)
			return err
		})
		ours.run(b, clients, perRound, func(n int64) error {
			_, err := l.Append(b.Context(), testStream, benchEvent(int64(done)+n))
			return err
		})
	}
	b.ReportMetric(raw.rate(), "raw/s")
	b.ReportMetric(ours.rate(), "ebb/s")
	b.ReportMetric(ours.rate()/raw.rate(), "ratio")
	b.ReportMetric(float64(ours.cpu)/float64(raw.cpu), "cpu-ratio")
}

// round adds up what several rounds of one kind took.
type round struct {
	seconds []float64
	n       int
	cpu     time.Duration
}

func (r *round) run(b *testing.B, clients, n int, f func(int64) error) {
	cpu, began := cpuTime(b), time.Now()
	var next atomic.Int64
	errs := make(chan error, clients)
	for range clients {
		go func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := f(i); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
	r.seconds = append(r.seconds, time.Since(began).Seconds())
	r.n = n
	r.cpu += cpuTime(b) - cpu
}

// rate is that of the median round.
func (r *round) rate() float64 {
	slices.Sort(r.seconds)
	return float64(r.n) / r.seconds[len(r.seconds)/2]
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchEvent(n int64) *event.Event {
	e := event.New()
	e.SetID(fmt.Sprint(n))
	e.SetSource("/bench")
	e.SetType("bench")
	e.DataEncoded = benchData
	return &e
}

var benchData = bytes.Repeat([]byte("x"), benchBytes)

func BenchmarkKeep(b *testing.B) {
	for _, clients := range []int{1, 32} {
		b.Run(fmt.Sprintf("durable/clients=%d", clients), func(b *testing.B) {
			l := openTest(b, Options{})
			ensureTest(b, l, model.Limits{})
			state := bytes.Repeat([]byte("s"), 64)
			var r round
			r.run(b, clients, b.N, func(n int64) error {
				return l.Keep(b.Context(), testStream, model.ReaderID(fmt.Sprint(n%100)), 0, state)
			})
			b.ReportMetric(r.rate(), "kept/s")
		})
	}
}

func BenchmarkCodec(b *testing.B) {
	e := logtest.Event("/bench", "1", benchBytes)
	encoded, err := encodeEvent(nil, e)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = encodeEvent(make([]byte, 0, 1024), e)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = decodeEvent(encoded)
		}
	})
}
