package decide

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ebb.dev/ebb/eventing/model"
)

// Outcome is what an answer means for an event.
type Outcome int

// What an answer may mean.
const (
	// Delivered: the event is done with.
	Delivered Outcome = iota
	// Replied: the event is done with, and its answer is an event that goes on.
	Replied
	// Retryable: the next attempt may fare better.
	Retryable
	// Refused: no attempt will fare better.
	Refused
)

// NoAnswer is the status of an attempt that got none.
const NoAnswer = 0

// Judge says what a final status means; event says whether the answer carries a well-formed event. Only 200 carries a reply: 202 is never
// one, and a 200 whose body is something else counts as delivered.
func Judge(status int, event bool) Outcome {
	switch {
	case status == http.StatusOK && event:
		return Replied
	case status >= 200 && status <= 299:
		return Delivered
	case status == NoAnswer, status >= 500:
		return Retryable
	case status == http.StatusNotFound, status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooManyRequests:
		return Retryable
	default:
		return Refused
	}
}

// longest bounds a delay that no Delivery bounds.
const longest = 24 * time.Hour

// Delay is how long to wait after an attempt failed, before jitter. failed counts the attempts made, at least 1: the first retry comes after
// one Delay with both ways of growing, the n-th after n·Delay or 2ⁿ⁻¹·Delay.
func Delay(d model.Delivery, failed int) time.Duration {
	n := math.Max(float64(failed), 1)
	factor := n
	if d.Backoff == model.Exponential {
		factor = math.Exp2(n - 1)
	}
	return time.Duration(math.Min(float64(d.Delay)*factor, float64(limit(d))))
}

// limit is the longest delay.
func limit(d model.Delivery) time.Duration {
	if d.Max > 0 && d.Max < longest {
		return d.Max
	}
	return longest
}

// spread is the part of a delay that jitter covers.
const spread = 0.25

// Jitter spreads a delay evenly over a band a quarter of it wide, so that what failed together does not come back together. The band begins
// at the delay, as users reckon with it; where it would pass the limit, it ends there. random is in [0, 1).
func Jitter(delay, limit time.Duration, random float64) time.Duration {
	width := time.Duration(spread * float64(delay))
	begin := delay
	if begin+width > limit {
		begin = max(limit-width, 0)
	}
	return begin + time.Duration(random*float64(width))
}

// Answer is what an attempt came back with, as far as the next one depends on it.
type Answer struct {
	// Status is the final HTTP status; NoAnswer if there was none.
	Status int
	// RetryAfter is the header's value, as received.
	RetryAfter string
}

// Next says when to try again after an attempt failed in a way that may be retried. failed counts the attempts made, this one included;
// again is false when there are no more.
func Next(d model.Delivery, failed int, a Answer, now time.Time, random float64) (due time.Time, again bool) {
	if failed > d.Retry {
		return time.Time{}, false
	}
	delay := Jitter(Delay(d, failed), limit(d), random)
	if asked, ok := heeded(d, a, now); ok {
		delay = max(delay, asked)
	}
	return now.Add(delay), true
}

// heeded is how long the subscriber asks to be left alone, as far as the Delivery listens.
func heeded(d model.Delivery, a Answer, now time.Time) (time.Duration, bool) {
	if d.RetryAfterMax == nil || *d.RetryAfterMax <= 0 {
		return 0, false
	}
	if a.Status != http.StatusTooManyRequests && a.Status != http.StatusServiceUnavailable {
		return 0, false
	}
	asked, ok := RetryAfter(a.RetryAfter, now)
	return min(asked, *d.RetryAfterMax), ok
}

// RetryAfter reads the header: seconds, or a date.
func RetryAfter(header string, now time.Time) (time.Duration, bool) {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}
