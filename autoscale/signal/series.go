package signal

import (
	"sync"
	"time"

	"ebb.dev/ebb/autoscale/decide"
)

// kind is what a source is: it says which of a feed's values it tells.
type kind int

const (
	proxy  kind = iota // estimator and rate
	hold               // held
	broker             // backlog
)

// feed is what one source last said about one revision.
type feed struct {
	kind      kind
	at        time.Time
	estimator estimator
	// rate is the requests per second of the last interval; it stands for the time since.
	rate float64
	// held is how many requests wait, backlog the events that do.
	held    float64
	backlog decide.Backlog
}

// value is the concurrency that the feed stands for until it speaks again.
func (f *feed) value() float64 {
	switch f.kind {
	case hold:
		return f.held
	case broker:
		return f.backlog.Due
	}
	return f.estimator.gauge
}

// series is everything known of one revision.
type series struct {
	mu    sync.Mutex
	ring  ring
	feeds map[string]*feed
	// heard is when any source last spoke; what is known lasts ttl beyond it.
	heard time.Time
	// covered is the time up to which the ring knows that it was measured.
	covered time.Time
	// retired is true once the Store has let go of the series: what is written to it is lost.
	retired bool
}

func newSeries(window time.Duration, at time.Time) *series {
	return &series{ring: newRing(window), feeds: map[string]*feed{}, heard: at, covered: at}
}

// hear marks that a source spoke at a time. The time since the last word was measured, as far as that word is still good.
func (s *series) hear(at time.Time, ttl time.Duration) {
	s.cover(at, ttl)
	if at.After(s.heard) {
		s.heard = at
	}
	if at.After(s.covered) {
		s.covered = at
	}
}

func (s *series) cover(to time.Time, ttl time.Duration) {
	if known := s.heard.Add(ttl); to.After(known) {
		to = known
	}
	if to.After(s.covered) {
		s.ring.spread(s.covered, to, second{covered: to.Sub(s.covered).Seconds()})
		s.covered = to
	}
}

// report takes a proxy's sample.
func (s *series) report(source string, at time.Time, sample Sample, ttl time.Duration) {
	s.hear(at, ttl)
	f := s.feeds[source]
	if f != nil && at.Sub(f.at) > ttl {
		s.end(source, f.at.Add(ttl))
		f = nil
	}
	if f == nil {
		s.feeds[source] = &feed{at: at, estimator: estimator{gauge: sample.Inflight}}
		return
	}
	dt := at.Sub(f.at).Seconds()
	if dt <= 0 {
		f.estimator.gauge = sample.Inflight
		s.ring.add(at, sample.Requests)
		return
	}
	s.ring.spread(f.at, at, second{requestSeconds: f.estimator.interval(sample, dt), requests: sample.Requests})
	f.at, f.rate = at, sample.Requests/dt
}

// setHeld takes a hold's count. A change of it counts as arrivals, so that a request that is released, and then counted by a
// replica, is counted once.
func (s *series) setHeld(source string, at time.Time, held float64, ttl time.Duration) {
	s.hear(at, ttl)
	f := s.feeds[source]
	if f != nil {
		s.settle(f, at, ttl)
	} else if held > 0 {
		f = &feed{kind: hold, at: at}
		s.feeds[source] = f
	} else {
		return
	}
	if change := held - f.held; change != 0 {
		s.ring.add(at, change)
	}
	f.held = held
	if held <= 0 {
		delete(s.feeds, source)
	}
}

// setBacklog takes what a broker has waiting. Deliveries that are due are demand as held requests are; they become arrivals as they are made.
func (s *series) setBacklog(source string, at time.Time, b decide.Backlog, ttl time.Duration) {
	s.hear(at, ttl)
	f := s.feeds[source]
	if f == nil {
		f = &feed{kind: broker, at: at}
		s.feeds[source] = f
	}
	s.settle(f, at, ttl)
	f.backlog = b
}

// settle records what a source had waiting up to at.
func (s *series) settle(f *feed, at time.Time, ttl time.Duration) {
	until := at
	if last := f.at.Add(ttl); until.After(last) {
		until = last
	}
	if until.After(f.at) {
		s.ring.spread(f.at, until, second{requestSeconds: f.value() * until.Sub(f.at).Seconds()})
	}
	f.at = at
}

// end removes a source, whose last word counts up to until.
func (s *series) end(source string, until time.Time) {
	f := s.feeds[source]
	if f == nil {
		return
	}
	if dt := until.Sub(f.at).Seconds(); dt > 0 {
		s.ring.spread(f.at, until, second{requestSeconds: f.value() * dt})
	}
	delete(s.feeds, source)
}

// expire ends the sources that have been silent for longer than ttl.
func (s *series) expire(now time.Time, ttl time.Duration) {
	for source, f := range s.feeds {
		if now.Sub(f.at) > ttl {
			s.end(source, f.at.Add(ttl))
		}
	}
}

// span is the time that the ring remembers.
func (s *series) span() time.Duration { return time.Duration(len(s.ring.seconds)) * time.Second }

// retire lets go of a series of which nobody speaks, and nobody has for silence.
func (s *series) retire(now time.Time, ttl, silence time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now, ttl)
	s.retired = len(s.feeds) == 0 && now.Sub(s.heard) >= silence
	return s.retired
}

// window measures the time before now. scratch is room for buckets; it is returned for the next time.
func (s *series) window(spec Spec, now time.Time, ttl time.Duration, scratch []decide.Bucket) (decide.Window, []decide.Bucket) {
	if len(s.ring.seconds) != ringLength(spec.Stable) {
		s.ring = s.ring.resize(spec.Stable)
	}
	s.expire(now, ttl)
	s.cover(now, ttl)

	var w decide.Window
	buckets := s.ring.buckets(scratch[:0], now, spec.Rate)
	for _, f := range s.feeds {
		perSecond := f.value()
		switch f.kind {
		case hold:
			w.Held += f.held
		case broker:
			w.Backlog = w.Backlog.Plus(f.backlog)
		default:
			w.Inflight += f.estimator.gauge
		}
		if spec.Rate {
			perSecond = f.rate
		}
		extend(buckets, f.at, now, perSecond)
	}
	elapsed := float64(now.Nanosecond()) / float64(time.Second)
	average := decide.Averaging{Window: spec.Stable, Algorithm: spec.Algorithm, Rate: spec.Rate}
	w.Stable = decide.Average(buckets, elapsed, average)
	average.Window = spec.Panic
	w.Panic = decide.Average(buckets, elapsed, average)
	return w, buckets
}
