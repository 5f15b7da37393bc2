package xds_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/xds/hold"
	"ebb.dev/ebb/xds/model"
)

func hello(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if strings.HasPrefix(strings.ToLower(name), "x-ebb-") {
				http.Error(w, "leaked "+name, http.StatusTeapot)
				return
			}
		}
		fmt.Fprint(w, text)
	})
}

func TestAServiceWakesFromZeroThroughRealEnvoys(t *testing.T) {
	b := newBed(t, hold.DefaultSettings(), revision("hello-v1", 0), service("hello", split("hello-v1", 100)))
	began := time.Now()
	var started time.Time
	b.scaler.wake = func(key model.Key) {
		started = time.Now()
		b.startReplica(key.Name, hello("hello"))
	}
	code, body := b.get(http.DefaultClient, "hello", "/")
	t.Logf("cold %s (asked to woken %s)", time.Since(began), started.Sub(began))
	if code != 200 || body != "hello" {
		t.Fatalf("got %d %q", code, body)
	}
	for range 20 {
		began = time.Now()
		if code, body := b.get(http.DefaultClient, "hello", "/"); code != 200 || body != "hello" {
			t.Fatalf("got %d %q", code, body)
		}
		t.Logf("then %s", time.Since(began))
	}
	if code, body := b.get(http.DefaultClient, "nobody", "/"); code != 404 {
		t.Fatalf("unknown host: %d %q", code, body)
	}
}
