package xds

import (
	"math"
	"sync"
	"time"

	"ebb.dev/ebb/xds/model"
	"ebb.dev/ebb/xds/server"
)

// Loads is what replica proxies last reported: how busy revisions are, and how many requests each replica has in flight.
// It passes every report on to the autoscaler.
type Loads struct {
	next server.Sink
	// onReport is told of each report.
	onReport func()

	mu      sync.Mutex
	proxies map[string]*report
	changed chan struct{}
}

type report struct {
	at      time.Time
	busy    map[model.Key]float64
	flights map[model.Key]float64
}

func newLoads(next server.Sink) *Loads {
	return &Loads{next: next, onReport: func() {}, proxies: map[string]*report{}, changed: make(chan struct{})}
}

// Report implements server.Sink.
func (l *Loads) Report(proxy string, at time.Time, samples []server.Sample, flights []server.Flight) {
	next := &report{at: at, busy: map[model.Key]float64{}, flights: map[model.Key]float64{}}
	for _, sample := range samples {
		next.busy[sample.Revision] = sample.Active + sample.Pending
	}
	for _, flight := range flights {
		next.flights[flight.Pod] = flight.Active
	}
	l.mu.Lock()
	l.proxies[proxy] = next
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	l.next.Report(proxy, at, samples, flights)
	l.onReport()
}

// Silent implements server.Sink.
func (l *Loads) Silent(proxy string) {
	l.mu.Lock()
	delete(l.proxies, proxy)
	l.mu.Unlock()
	l.next.Silent(proxy)
}

// Busy is how many requests a revision's replicas had in flight or queued when they last reported.
func (l *Loads) Busy(revision model.Key) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sum float64
	for _, report := range l.proxies {
		sum += report.busy[revision]
	}
	return int(math.Ceil(sum))
}

// InFlight is how many requests a replica has in flight by a report that is not older than since. ok is false until
// there is such a report of its proxy.
func (l *Loads) InFlight(proxy string, pod model.Key, since time.Time) (active float64, ok bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	report, known := l.proxies[proxy]
	if !known || report.at.Before(since) {
		return 0, false, l.changed
	}
	return report.flights[pod], true, l.changed
}
