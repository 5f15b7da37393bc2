package request

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"ebb.dev/ebb/eventing/dispatch/decide"
	"ebb.dev/ebb/eventing/model"
)

const (
	// longestDelay bounds the time between two attempts, longestAsked how long an app can ask for.
	longestDelay = 10 * time.Minute
	longestAsked = time.Hour
	// deadTTL is the least for which a dead request is kept: a person is to look at it.
	deadTTL = 24 * time.Hour
	// noticeRetry and noticeBackoff say how hard is tried to tell somebody: for about a quarter of an hour, and then some hours.
	noticeRetry   = 15
	noticeBackoff = time.Second
)

// ErrFinal says that a step comes too late.
var ErrFinal = errors.New("it has ended already")

// Answer is what an attempt came back with.
type Answer struct {
	// Status is the HTTP status, 0 if there was no answer; Error then says why.
	Status     int
	RetryAfter string
	Error      string
	// Kept says that headers and body are stored with the record that follows.
	Kept bool
}

// Begin is the record of an attempt that begins.
func (r Record) Begin(now time.Time) Record {
	r.Version++
	r.State, r.Began = Running, now
	r.Attempts++
	return r
}

// Interrupted is the record of a request whose attempt nobody follows any more: it is made again.
func (r Record) Interrupted(now time.Time) Record {
	if r.State != Running {
		return r
	}
	r.Version++
	r.State, r.Due = Queued, now
	return r
}

// Answered is the record after an attempt. random, in [0, 1), spreads what failed together.
func (r Record) Answered(a Answer, now time.Time, random float64) Record {
	r.Version++
	r.Status, r.Error, r.Kept = a.Status, a.Error, false
	switch {
	case a.Status != 0 && a.Status < http.StatusBadRequest:
		return r.end(Succeeded, a, now)
	case !Retryable(a.Status):
		return r.end(Failed, a, now)
	}
	most := longestAsked
	due, again := decide.Next(model.Delivery{
		Retry: r.Terms.Retry, Backoff: model.Exponential, Delay: r.Terms.Backoff, Max: longestDelay, RetryAfterMax: &most,
	}, r.Attempts, decide.Answer{Status: a.Status, RetryAfter: a.RetryAfter}, now, random)
	if !again {
		return r.end(Dead, a, now)
	}
	r.State, r.Due = Queued, due
	return r
}

// Retryable reports whether another attempt may fare better than one with this status; 0 is no answer.
func Retryable(status int) bool {
	switch status {
	case 0, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}

// end is the record of a request that has ended.
func (r Record) end(as State, a Answer, now time.Time) Record {
	r.State, r.Ended, r.Kept = as, now, a.Kept
	ttl := r.Terms.TTL
	if as == Dead {
		ttl = max(ttl, deadTTL)
	}
	r.Expires = now.Add(ttl)
	r.Notices = slices.Clone(r.Notices)
	for i := range r.Notices {
		if n := &r.Notices[i]; n.Wanted(as) {
			*n = Notice{Kind: n.Kind, URL: n.URL, State: Pending, Due: now}
		}
	}
	return r
}

// Cancel is the record of a request that its client does not want any more.
func (r Record) Cancel(now time.Time) (Record, error) {
	if r.State.Final() {
		return r, fmt.Errorf("request %s is %s: %w", r.ID, r.State, ErrFinal)
	}
	r.Version++
	return r.end(Cancelled, Answer{}, now), nil
}

// Again is the record of a dead request that is to be tried as if it were new.
func (r Record) Again(now time.Time) (Record, error) {
	if r.State != Dead {
		return r, fmt.Errorf("request %s is %s; only dead ones can be tried again", r.ID, r.State)
	}
	r.Version++
	r.State, r.Attempts, r.Due = Queued, 0, now
	r.Ended, r.Expires, r.Status, r.Error, r.Kept = time.Time{}, time.Time{}, 0, "", false
	return r, nil
}

// Told is the record after the notice of a kind was tried: problem is empty if it was delivered, final if no more attempts are wanted.
func (r Record) Told(kind Kind, problem string, final bool, now time.Time, random float64) Record {
	r.Version++
	r.Notices = slices.Clone(r.Notices)
	for i := range r.Notices {
		n := &r.Notices[i]
		if n.Kind != kind || n.State != Pending {
			continue
		}
		n.Attempts++
		n.Error = problem
		due, again := decide.Next(model.Delivery{
			Retry: noticeRetry, Backoff: model.Exponential, Delay: noticeBackoff, Max: longestDelay,
		}, n.Attempts, decide.Answer{}, now, random)
		switch {
		case problem == "":
			n.State, n.Due = Delivered, time.Time{}
		case final || !again:
			n.State, n.Due = GivenUp, time.Time{}
		default:
			n.Due = due
		}
	}
	return r
}

// Expired reports whether nothing of the request is wanted any more.
func (r Record) Expired(now time.Time) bool {
	return r.State.Final() && !r.Expires.After(now)
}

// NeedsRequest reports whether another attempt may come, so that headers and body are needed.
func (r Record) NeedsRequest() bool { return !r.State.Final() || r.State == Dead }
