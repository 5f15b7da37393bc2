package ingress_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/log/jetstream"
	"ebb.dev/ebb/eventing/model"
)

// BenchmarkAccept is how many events an HTTP sender gets stored, client and server in one process: 512 bytes in binary mode.
func BenchmarkAccept(b *testing.B) {
	for _, relaxed := range []bool{false, true} {
		for _, clients := range []int{1, 32} {
			b.Run(fmt.Sprintf("relaxed=%t/clients=%d", relaxed, clients), func(b *testing.B) { benchAccept(b, relaxed, clients) })
		}
	}
}

func benchAccept(b *testing.B, relaxed bool, clients int) {
	l, err := jetstream.Open(b.Context(), jetstream.Options{Dir: b.TempDir(), Relaxed: relaxed})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s := model.Stream{ID: "Broker/default/default", Kind: model.Broker, Key: model.Key{Namespace: "default", Name: "default"}}
	if err := l.Ensure(b.Context(), s); err != nil {
		b.Fatal(err)
	}
	var streams ingress.Registry
	streams.Set(s)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: ingress.New(ingress.Options{Log: l, Streams: &streams})}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	data := strings.Repeat("x", 512)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if err := post(client, "http://"+listener.Addr().String()+"/default/default", fmt.Sprint(n), data); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func post(client *http.Client, url, id, data string) error {
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(data))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": id, "Ce-Source": "/bench", "Ce-Type": "bench", "Content-Type": "text/plain"} {
		r.Header.Set(name, value)
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	if err := answer.Body.Close(); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusAccepted {
		return fmt.Errorf("answer %s", answer.Status)
	}
	return nil
}
