package signal

import "time"

const (
	// lengthHorizon is the time over which the mean length of requests is taken.
	lengthHorizon = 10 * time.Second
	// leastArrivals is the rate below which nothing is known of the length of requests, per second.
	leastArrivals = 1e-6
	// stallFactor is how many times the mean length requests must take now for the gauge to take over at once: an app that
	// hangs finishes nothing, so its times say nothing.
	stallFactor = 4
)

// estimator turns the reports of one proxy about one revision into time-integrated concurrency.
// See the package documentation for how and how well.
type estimator struct {
	gauge float64
	// meanGauge and meanArrivals are slow means, whose ratio is the mean length of requests in seconds.
	meanGauge    float64
	meanArrivals float64
}

// interval takes the report at the end of an interval of dt seconds, and returns the request-seconds in it.
func (e *estimator) interval(s Sample, dt float64) float64 {
	byGauge := (e.gauge + s.Inflight) / 2 * dt
	weight := 1.
	if length, known := e.length(byGauge, s.Requests); known && !s.NoTimes {
		half := dt / 2
		weight = length * length / (length*length + half*half)
	}
	pace := min(1, dt/lengthHorizon.Seconds())
	e.meanGauge += pace * (byGauge/dt - e.meanGauge)
	e.meanArrivals += pace * (s.Requests/dt - e.meanArrivals)
	e.gauge = s.Inflight
	return weight*byGauge + (1-weight)*s.Finished
}

// length returns how long requests take, in seconds, and whether anything is known of it.
func (e *estimator) length(byGauge, requests float64) (float64, bool) {
	if e.meanArrivals <= leastArrivals {
		return 0, false
	}
	if requests == 0 && byGauge > 0 {
		return 0, false // nothing begins while something is in flight: only the gauge can tell
	}
	mean := e.meanGauge / e.meanArrivals
	if requests > 0 {
		mean = max(mean, byGauge/requests/stallFactor)
	}
	return mean, true
}
