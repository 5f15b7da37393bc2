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
	now  func() time.Time
	// onLess is told that a revision became less busy.
	onLess func(model.Key)

	mu      sync.Mutex
	proxies map[string]*report
	changed chan struct{}
}

type report struct {
	at      time.Time
	busy    map[model.Key]float64
	flights map[model.Key]float64
}

func newLoads(next server.Sink, now func() time.Time) *Loads {
	return &Loads{next: next, now: now, onLess: func(model.Key) {}, proxies: map[string]*report{}, changed: make(chan struct{})}
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
	old := l.proxies[proxy]
	l.proxies[proxy] = next
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	l.next.Report(proxy, at, samples, flights)
	if old == nil {
		return
	}
	for revision, busy := range old.busy {
		if next.busy[revision] < busy {
			l.onLess(revision)
		}
	}
}

// Silent implements server.Sink.
func (l *Loads) Silent(proxy string) {
	l.mu.Lock()
	delete(l.proxies, proxy)
	l.mu.Unlock()
	l.next.Silent(proxy)
}

// Busy is how many requests a revision's replicas have in flight or queued, and when that was measured: the time of the
// oldest report that it is made of.
func (l *Loads) Busy(revision model.Key) (int, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sum float64
	oldest := l.now()
	for _, report := range l.proxies {
		if busy, ok := report.busy[revision]; ok {
			sum += busy
			if report.at.Before(oldest) {
				oldest = report.at
			}
		}
	}
	return int(math.Ceil(sum)), oldest
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
