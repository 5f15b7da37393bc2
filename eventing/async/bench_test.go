package async

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/eventing/async/call"
	"ebb.dev/ebb/eventing/async/journal"
	"ebb.dev/ebb/eventing/async/request"
	"ebb.dev/ebb/eventing/log/jetstream"
	"ebb.dev/ebb/eventing/model"
)

// BenchmarkAccept is what is accepted over HTTP, without gateways in between: bodies of 512 bytes, a log on disk, and each request called at
// once, its answer stored too. done/s is how many had their answers stored by the end, from the first request on.
func BenchmarkAccept(b *testing.B) {
	for _, relaxed := range []bool{true, false} {
		for _, clients := range []int{1, 32, 128} {
			b.Run(fmt.Sprintf("relaxed=%t/clients=%d", relaxed, clients), func(b *testing.B) { benchAccept(b, relaxed, clients) })
		}
	}
}

func benchAccept(b *testing.B, relaxed bool, clients int) {
	l, err := jetstream.Open(b.Context(), jetstream.Options{Dir: b.TempDir(), Relaxed: relaxed})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	policy := async.Default()
	policy.Queue = 1 << 20
	var answered atomic.Int64
	engine, err := Open(b.Context(), Options{
		Log: l, Open: 1 << 20, Kept: 1 << 20, Logger: slog.New(slog.DiscardHandler),
		Policy: func(context.Context, model.Key) (async.Policy, error) { return policy, nil },
		Attempt: func(context.Context, request.Record, journal.Message) (request.Answer, journal.Message) {
			answered.Add(1)
			return request.Answer{Status: 200, Kept: true}, journal.Message{Body: []byte("answer")}
		},
		Tell:   func(context.Context, call.Notice) (bool, error) { return false, nil },
		Secret: func(context.Context, string) ([]byte, error) { return nil, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = engine.Run(ctx) })
	defer running.Wait()
	defer cancel()
	server := httptest.NewServer(&Handler{Engine: engine})
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	body := bytes.Repeat([]byte("x"), 512)
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	began := time.Now()
	for range clients {
		group.Go(func() {
			for next.Add(1) <= int64(b.N) {
				r, err := http.NewRequest(http.MethodPost, server.URL+"/work", bytes.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
				r.Header.Set(async.ServiceHeader, "default/hello")
				r.Header.Set(async.HostHeader, "hello.default.svc.cluster.local")
				response, err := client.Do(r)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.StatusCode != http.StatusAccepted {
					b.Errorf("%d", response.StatusCode)
					return
				}
			}
		})
	}
	group.Wait()
	accepted := time.Since(began)
	for deadline := time.Now().Add(time.Minute); (&world{engine: engine}).busy() && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/accepted.Seconds(), "accepted/s")
	b.ReportMetric(float64(answered.Load())/time.Since(began).Seconds(), "done/s")
}
