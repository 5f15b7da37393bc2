package simulate

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// workload gives the arrivals of a trace one after the other.
type workload struct {
	trace    Trace
	service  time.Duration
	random   *rand.Rand
	position int
	at       time.Duration // where levels have been turned into arrivals up to
}

// expected is how many requests a trace comes to, nearly.
func (t Trace) expected(service time.Duration) float64 {
	n := float64(len(t.Arrivals))
	for i := range max(0, len(t.Levels)-1) {
		rate, _ := t.Levels[i].arrivals(t.ByRate, service)
		n += rate * (t.Levels[i+1].At - t.Levels[i].At).Seconds()
	}
	return n
}

// arrivals returns the rate at which requests come at a level, per second, and how long each takes.
func (l Level) arrivals(byRate bool, service time.Duration) (rate float64, duration time.Duration) {
	duration = service
	if l.ServiceTime > 0 {
		duration = l.ServiceTime
	}
	if byRate {
		return l.Rate, duration
	}
	return l.Concurrency / duration.Seconds(), duration
}

func newWorkload(t Trace, s Settings) (*workload, error) {
	if n := t.expected(s.ServiceTime); n > float64(s.MaxRequests) {
		return nil, fmt.Errorf("trace: it comes to %.3g requests, more than --max-requests %d; shorten it or raise the limit", n, s.MaxRequests)
	}
	return &workload{trace: t, service: s.ServiceTime, random: rand.New(rand.NewPCG(s.Seed, 0))}, nil
}

// next returns the next request, or false at the end. Requests of a level come at random, independently of each other.
func (w *workload) next() (Arrival, bool) {
	if len(w.trace.Arrivals) > 0 {
		if w.position == len(w.trace.Arrivals) {
			return Arrival{}, false
		}
		w.position++
		return w.trace.Arrivals[w.position-1], true
	}
	for w.position+1 < len(w.trace.Levels) {
		level, end := w.trace.Levels[w.position], w.trace.Levels[w.position+1].At
		rate, duration := level.arrivals(w.trace.ByRate, w.service)
		w.at = max(w.at, level.At)
		if rate > 0 {
			gap := w.random.ExpFloat64() / rate
			if gap < (end - w.at).Seconds() {
				w.at += time.Duration(gap * float64(time.Second))
				return Arrival{At: w.at, Duration: duration}, true
			}
		}
		w.at = end
		w.position++
	}
	return Arrival{}, false
}
