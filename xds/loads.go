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
	// onReport is told of which revisions a report says something, or nothing any more.
	onReport func(revisions []model.Key)

	mu      sync.Mutex
	proxies map[string]*report
	// busy adds up the reports by revision. The values are counts, so the sums are exact.
	busy    map[model.Key]float64
	changed chan struct{}
}

type report struct {
	at      time.Time
	busy    map[model.Key]float64
	flights map[model.Key]float64
}

func newLoads(next server.Sink) *Loads {
	return &Loads{
		next: next, onReport: func([]model.Key) {},
		proxies: map[string]*report{}, busy: map[model.Key]float64{}, changed: make(chan struct{}),
	}
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
	touched := l.replace(proxy, next)
	l.next.Report(proxy, at, samples, flights)
	l.onReport(touched)
}

// Silent implements server.Sink.
func (l *Loads) Silent(proxy string) {
	touched := l.replace(proxy, nil)
	l.next.Silent(proxy)
	l.onReport(touched)
}

// replace puts a proxy's report in the place of the one before and returns the revisions of both.
func (l *Loads) replace(proxy string, next *report) []model.Key {
	l.mu.Lock()
	defer l.mu.Unlock()
	difference := map[model.Key]float64{}
	if old := l.proxies[proxy]; old != nil {
		for key, busy := range old.busy {
			difference[key] -= busy
		}
	}
	delete(l.proxies, proxy)
	if next != nil {
		l.proxies[proxy] = next
		for key, busy := range next.busy {
			difference[key] += busy
		}
	}
	touched := make([]model.Key, 0, len(difference))
	for key, more := range difference {
		touched = append(touched, key)
		if l.busy[key] += more; l.busy[key] == 0 {
			delete(l.busy, key)
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return touched
}

// Busy is how many requests a revision's replicas had in flight or queued when they last reported.
func (l *Loads) Busy(revision model.Key) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(math.Ceil(l.busy[revision]))
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
