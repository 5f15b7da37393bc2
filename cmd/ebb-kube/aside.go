package main

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Nobody waits for an Event to be written, and a burst of pods brings more of them than of anything else: written while the pods start, they take
// the processors that these need. So they are written in quiet moments.
const (
	// asideQuiet without another write is a quiet moment.
	asideQuiet = 50 * time.Millisecond
	// asideMost is how long Events stand aside while there is no quiet moment. From then until the next one they are written at once: recorders
	// write one after the other, and drop what they cannot write.
	asideMost = time.Second
)

// aside knows when others wrote.
type aside struct {
	next http.Handler

	mu sync.Mutex
	// since is the first write after the last quiet moment, last the latest one.
	since, last time.Time
}

// standAside has the writing of Events wait for quiet moments.
func standAside(next http.Handler) http.Handler { return &aside{next: next} }

func (a *aside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !writes(r.Method):
	case !isEvent(r.URL.Path):
		a.note(time.Now())
	default:
		for pause := a.pause(time.Now()); pause > 0; pause = a.pause(time.Now()) {
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-r.Context().Done():
				timer.Stop()
				return
			}
		}
	}
	a.next.ServeHTTP(w, r)
}

// note takes down that something else is written.
func (a *aside) note(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.last) >= asideQuiet {
		a.since = now
	}
	a.last = now
}

// pause is how long an Event waits before it looks again; zero is not at all.
func (a *aside) pause(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, min(a.last.Add(asideQuiet).Sub(now), a.since.Add(asideMost).Sub(now)))
}

func writes(method string) bool {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	}
	return false
}

// isEvent reports whether a path is that of Events of a namespace, in either of their API groups, or of one of them.
func isEvent(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/v1/namespaces/")
	if !ok {
		if rest, ok = strings.CutPrefix(path, "/apis/events.k8s.io/v1/namespaces/"); !ok {
			return false
		}
	}
	_, rest, _ = strings.Cut(rest, "/")
	resource, _, _ := strings.Cut(rest, "/")
	return resource == "events"
}
