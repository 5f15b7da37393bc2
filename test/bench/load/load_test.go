package load

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func server(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestAClosedLoopKeepsEveryConnectionBusy(t *testing.T) {
	var most, now atomic.Int64
	address := server(t, func(w http.ResponseWriter, _ *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(time.Millisecond)
		now.Add(-1)
		w.Write([]byte("ok"))
	})
	r, err := Run(t.Context(), Config{Address: address, Host: "h", Path: "/", Connections: 4, Duration: 200 * time.Millisecond})
	if err != nil || r.Errors != 0 || r.Requests < 20 || most.Load() > 4 {
		t.Errorf("%v: %d requests, %d errors (%s), %d at once", err, r.Requests, r.Errors, r.FirstError, most.Load())
	}
}

func TestAnOpenLoopCountsTheWaitBehindASlowAnswer(t *testing.T) {
	var n atomic.Int64
	address := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			time.Sleep(200 * time.Millisecond)
		}
		w.Write([]byte("ok"))
	})
	r, err := Run(t.Context(), Config{Address: address, Host: "h", Path: "/", Connections: 1, Rate: 100, Duration: 400 * time.Millisecond})
	if err != nil || r.Requests < 35 {
		t.Fatalf("%v: %d requests", err, r.Requests)
	}
	// Twenty requests should have begun while the first was answered.
	if late := r.Latency.Quantile(0.75); late < 20*time.Millisecond {
		t.Errorf("three quarters within %v: those that waited were not counted so", late)
	}
}

func TestOtherAnswersThan200AreErrors(t *testing.T) {
	address := server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	r, err := Run(t.Context(), Config{Address: address, Host: "h", Path: "/", Connections: 1, Rate: 100, Duration: 50 * time.Millisecond})
	if err != nil || r.Requests != 0 || r.Errors == 0 || !strings.Contains(r.FirstError, "503") {
		t.Errorf("%v %+v", err, r)
	}
}

func TestEachEventHasAnIdOfItsOwnThatSaysWhenItWasSent(t *testing.T) {
	var mu sync.Mutex
	ids := map[string]bool{}
	address := server(t, func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		run, sent, idErr := ParseID(r.Header.Get("Ce-Id"))
		if err != nil || idErr != nil || len(data) != 512 || run != "round-1" || time.Since(sent) > time.Minute || r.Header.Get("Ce-Type") != "made" {
			t.Errorf("%v %v: %d bytes, %v", err, idErr, len(data), r.Header)
		}
		mu.Lock()
		ids[r.Header.Get("Ce-Id")] = true
		mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	c := Config{Address: address, Host: "h", Path: "/", Connections: 4, Duration: 100 * time.Millisecond, Event: &Event{Type: "made", Source: "/bench", Run: "round-1", Bytes: 512}}
	r, err := Run(t.Context(), c)
	if err != nil || r.Errors != 0 || r.All == 0 || uint64(len(ids)) != r.All {
		t.Errorf("%v: %d answered, %d errors (%s), %d ids", err, r.All, r.Errors, r.FirstError, len(ids))
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("round-1.7.1790000000000000000")
	f.Add("..")
	f.Fuzz(func(t *testing.T, s string) {
		run, sent, err := ParseID(s)
		if err != nil {
			return
		}
		if again, at, err := ParseID(string(Event{Run: run}.AppendID(nil, 1, sent))); err != nil || again != run || !at.Equal(sent) {
			t.Errorf("%q: %q at %v came back as %q at %v (%v)", s, run, sent, again, at, err)
		}
	})
}

func FuzzReadAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		if err := readAnswer(bufio.NewReader(strings.NewReader(s)), statusOK); err == nil && !strings.HasPrefix(s, "HTTP/1.1 200") {
			t.Errorf("%q was taken for an answer", s)
		}
	})
}
