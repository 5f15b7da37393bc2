package async

import (
	"container/heap"
	"context"
	"time"

	"ebb.dev/ebb/eventing/async/request"
)

// expiry is when a request is forgotten; one that is out of date says another time than the request's record.
type expiry struct {
	at time.Time
	id string
}

type expiries []expiry

func (x expiries) Len() int           { return len(x) }
func (x expiries) Less(i, j int) bool { return x[i].at.Before(x[j].at) }
func (x expiries) Swap(i, j int)      { x[i], x[j] = x[j], x[i] }
func (x *expiries) Push(v any)        { *x = append(*x, v.(expiry)) }
func (x *expiries) Pop() any {
	last := len(*x) - 1
	v := (*x)[last]
	*x = (*x)[:last]
	return v
}

// expireEvery is how often it is looked at what is to be forgotten.
const expireEvery = time.Second

// expire forgets what is over until the context ends.
func (e *Engine) expire(ctx context.Context) {
	ticker := time.NewTicker(expireEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		e.forgetExpired()
	}
}

func (e *Engine) forgetExpired() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.options.Now()
	for len(e.expiries) > 0 && !e.expiries[0].at.After(now) {
		e.forgetFirst()
	}
	for e.kept > e.options.Kept {
		if !e.forgetEarly() {
			return
		}
	}
}

// forgetEarly forgets the ended request that would be forgotten first; false if there is none. The caller holds mu.
func (e *Engine) forgetEarly() bool {
	for len(e.expiries) > 0 {
		if e.forgetFirst() {
			e.metrics.early.Inc()
			return true
		}
	}
	return false
}

// forgetFirst takes the first expiry, and forgets the request if the expiry is up to date. The caller holds mu.
func (e *Engine) forgetFirst() bool {
	first := heap.Pop(&e.expiries).(expiry)
	en, known := e.entries[first.id]
	if !known || !en.record.State.Final() || !en.record.Expires.Equal(first.at) {
		return false
	}
	e.kept--
	e.remove(en)
	e.journal.Forget(first.id)
	if n := undelivered(en.record); n > 0 {
		e.options.Logger.Warn("request forgotten before everybody was told", "request", first.id, "service", en.record.Service.String(), "notices", n)
	}
	return true
}

func undelivered(r request.Record) int {
	n := 0
	for _, notice := range r.Notices {
		if notice.State == request.Pending {
			n++
		}
	}
	return n
}
