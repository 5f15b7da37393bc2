package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestAllRequestsAreSentAndCounted(t *testing.T) {
	var seen atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodPost && string(body) == "data" && r.Header.Get("X-A") == "b" && r.Host == "other" && r.Header.Get("Content-Type") == "application/json" {
			seen.Add(1)
		}
		io.WriteString(w, "12345")
	}))
	defer s.Close()
	l, err := parse([]string{"-n", "23", "-c", "5", "-m", "POST", "-d", "data", "-H", "X-A: b", "-H", "Host: other", "-T", "application/json", s.URL}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	results := l.run(t.Context())
	var out strings.Builder
	if err := summarize(&out, results, time.Second); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Requests/sec:\t23.0000", "[200]\t23 responses", "Total data:\t115 bytes", "  50% in ", "Response time histogram:"} {
		if seen.Load() != 23 || !strings.Contains(out.String(), want) {
			t.Errorf("%d seen; lacks %q:\n%s", seen.Load(), want, out.String())
		}
	}
	if l, err = parse([]string{"-z", "50ms", "-c", "2", "-q", "100", s.URL}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if n := len(l.run(t.Context())); n == 0 || n > 14 {
		t.Errorf("%d requests in 50 ms at 2 × 100/s", n)
	}
	if _, err := parse([]string{"-n", "1", s.URL}, io.Discard); err == nil {
		t.Error("-n below -c was accepted")
	}
}
