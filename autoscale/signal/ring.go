package signal

import (
	"time"

	"ebb.dev/ebb/autoscale/decide"
)

// second is what one second of the clock holds of a revision.
type second struct {
	requestSeconds float64 // concurrency, integrated
	requests       float64 // begun
	covered        float64 // seconds that were measured
}

// ring holds the last seconds of a revision, as many as its stable window needs.
type ring struct {
	seconds []second
	newest  int64 // the Unix second of the newest entry
}

// ringLength is the seconds that a window needs: one more than it has, because now is seldom at a second's end.
func ringLength(window time.Duration) int {
	return int((window+time.Second-1)/time.Second) + 1
}

func newRing(window time.Duration) ring {
	return ring{seconds: make([]second, ringLength(window))}
}

func (r *ring) at(unix int64) *second {
	n := int64(len(r.seconds))
	return &r.seconds[((unix%n)+n)%n]
}

// advance makes unix the newest second, if it is newer, and empties what falls out.
func (r *ring) advance(unix int64) {
	if unix <= r.newest {
		return
	}
	oldest := max(r.newest+1, unix-int64(len(r.seconds))+1)
	for s := oldest; s <= unix; s++ {
		*r.at(s) = second{}
	}
	r.newest = unix
}

// holds reports whether a second is within the ring.
func (r *ring) holds(unix int64) bool {
	return unix <= r.newest && unix > r.newest-int64(len(r.seconds))
}

// spread adds amount evenly to the time from from to to. What is older than the ring is lost.
func (r *ring) spread(from, to time.Time, amount second) {
	length := to.Sub(from).Seconds()
	if length <= 0 {
		return
	}
	r.advance(to.Unix())
	for unix := max(from.Unix(), r.newest-int64(len(r.seconds))+1); unix <= to.Unix(); unix++ {
		begin, end := time.Unix(unix, 0), time.Unix(unix+1, 0)
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		part := end.Sub(begin).Seconds() / length
		if part <= 0 || !r.holds(unix) {
			continue
		}
		s := r.at(unix)
		s.requestSeconds += part * amount.requestSeconds
		s.requests += part * amount.requests
		s.covered += part * amount.covered
	}
}

// resize returns a ring for another window with what both have room for.
func (r *ring) resize(window time.Duration) ring {
	resized := newRing(window)
	resized.newest = r.newest
	for unix := r.newest - int64(min(len(r.seconds), len(resized.seconds))) + 1; unix <= r.newest; unix++ {
		*resized.at(unix) = *r.at(unix)
	}
	return resized
}

// add puts something into one second, if it is within the ring.
func (r *ring) add(at time.Time, requests float64) {
	r.advance(at.Unix())
	if r.holds(at.Unix()) {
		r.at(at.Unix()).requests += requests
	}
}

// buckets appends the seconds up to now, newest first, as Average wants them.
func (r *ring) buckets(to []decide.Bucket, now time.Time, rate bool) []decide.Bucket {
	for i := range int64(len(r.seconds)) {
		unix := now.Unix() - i
		if !r.holds(unix) {
			to = append(to, decide.Bucket{})
			continue
		}
		s := r.at(unix)
		sum := s.requestSeconds
		if rate {
			sum = s.requests
		}
		// What is released takes back its count as held, in another second perhaps: a rate is never negative.
		to = append(to, decide.Bucket{Sum: max(0, sum), Covered: min(1, s.covered)})
	}
	return to
}

// extend adds perSecond to the buckets for the time from from to now.
func extend(buckets []decide.Bucket, from, now time.Time, perSecond float64) {
	end := now
	for i := range buckets {
		begin := time.Unix(now.Unix()-int64(i), 0)
		if begin.Before(from) {
			begin = from
		}
		if overlap := end.Sub(begin).Seconds(); overlap > 0 {
			buckets[i].Sum += perSecond * overlap
		}
		if begin.Equal(from) {
			return
		}
		end = begin
	}
}
