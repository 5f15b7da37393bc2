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
	busy map[model.Key]float64
	// begun counts the requests of each revision that has let go some lately; underway is what they were to become.
	underway map[model.Key]*underway
	changed  chan struct{}
}

// underway is what the hold has let go and no replica has counted yet.
type underway struct {
	// begun is how many requests replicas have begun since the first was let go, wanted how many that has to be for all to have arrived.
	begun, wanted float64
	// until is when what has not arrived is given up: its client left, or its gateway is gone.
	until time.Time
}

// handover is how long a gateway may take to learn that a request may go on, and to send it on.
const handover = 250 * time.Millisecond

type report struct {
	at      time.Time
	busy    map[model.Key]float64
	flights map[model.Key]float64
}

func newLoads(next server.Sink) *Loads {
	return &Loads{
		next: next, onReport: func([]model.Key) {},
		proxies: map[string]*report{}, busy: map[model.Key]float64{}, underway: map[model.Key]*underway{}, changed: make(chan struct{}),
	}
}

// Report implements server.Sink.
func (l *Loads) Report(proxy string, at time.Time, samples []server.Sample, flights []server.Flight) {
	next := &report{at: at, busy: map[model.Key]float64{}, flights: map[model.Key]float64{}}
	begun := map[model.Key]float64{}
	for _, sample := range samples {
		next.busy[sample.Revision] = sample.Active + sample.Pending
		begun[sample.Revision] += sample.Requests
	}
	for _, flight := range flights {
		next.flights[flight.Pod] = flight.Active
	}
	l.arrived(begun, at)
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

// letGo notes a request that the hold is about to let go.
func (l *Loads) letGo(revision model.Key, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.underway[revision]
	if u == nil {
		u = &underway{}
		l.underway[revision] = u
	}
	u.wanted = max(u.wanted, u.begun) + 1
	u.until = now.Add(handover)
}

// arrived counts what replicas have begun, and forgets what has nothing under way any more.
func (l *Loads) arrived(begun map[model.Key]float64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for revision, u := range l.underway {
		u.begun += begun[revision]
		if u.begun >= u.wanted || now.After(u.until) {
			delete(l.underway, revision)
		}
	}
}

// Underway is until when one has to reckon with requests of a revision that the hold has let go and no replica has counted yet; zero if
// there are none.
func (l *Loads) Underway(revision model.Key) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u := l.underway[revision]; u != nil {
		return u.until
	}
	return time.Time{}
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
