package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestEventsAreToldFromOtherWrites(t *testing.T) {
	for path, want := range map[string]bool{
		"/api/v1/namespaces/default/events":                        true,
		"/api/v1/namespaces/default/events/hello.1":                true,
		"/apis/events.k8s.io/v1/namespaces/default/events":         true,
		"/apis/events.k8s.io/v1/namespaces/default/events/hello.1": true,
		"/api/v1/namespaces/events":                                false,
		"/api/v1/namespaces/events/pods":                           false,
		"/api/v1/namespaces/default/pods/events":                   false,
		"/apis/eventing.knative.dev/v1/namespaces/a/brokers/b":     false,
		"/api/v1/events": false,
		"":               false,
	} {
		if got := isEvent(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestEventsWaitForAQuietMoment(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(1_000_000).Add(time.Duration(ms) * time.Millisecond) }
	type step struct {
		at    int
		write bool
		// want is how long an Event that comes then waits.
		want int
	}
	var busy []step
	for ms := 0; ms <= 1200; ms += 40 {
		busy = append(busy, step{at: ms, write: true, want: max(0, min(50, 1000-ms))})
	}
	for name, steps := range map[string][]step{
		"nothing was ever written": {{at: 0}},
		"right after a write":      {{at: 0, write: true, want: 50}, {at: 30, want: 20}, {at: 50}},
		"each write puts it off":   {{at: 0, write: true, want: 50}, {at: 40, write: true, want: 50}, {at: 60, want: 30}, {at: 90}},
		"no quiet moment comes":    busy,
		"a quiet moment begins it anew": append(append([]step{}, busy...),
			step{at: 1245, want: 0}, step{at: 1300, write: true, want: 50}, step{at: 1320, want: 30}),
	} {
		t.Run(name, func(t *testing.T) {
			var a aside
			for _, s := range steps {
				if s.write {
					a.note(at(s.at))
				}
				if got := a.pause(at(s.at)); got != time.Duration(s.want)*time.Millisecond {
					t.Errorf("at %d ms: %v", s.at, got)
				}
			}
		})
	}
}

func TestOnlyTheWritingOfEventsWaits(t *testing.T) {
	const pods, events = "/api/v1/namespaces/a/pods", "/api/v1/namespaces/a/events"
	for _, c := range []struct {
		method, path string
		served       bool
	}{
		{http.MethodPost, pods, true},
		{http.MethodGet, events, true},
		{http.MethodPost, events, false},
		{http.MethodPatch, events + "/hello.1", false},
	} {
		served := false
		a := &aside{next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true })}
		a.note(time.Now().Add(time.Hour))
		// Who gives up is not served: so it shows who waits.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, c.method, c.path, nil))
		if served != c.served {
			t.Errorf("%s %s: served %v", c.method, c.path, served)
		}
	}
}
