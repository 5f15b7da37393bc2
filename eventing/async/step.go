package async

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"ebb.dev/ebb/eventing/async/journal"
	"ebb.dev/ebb/eventing/async/request"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// errOver says that an attempt came back to a request that has ended meanwhile.
var errOver = errors.New("the request has ended")

// beginAttempt calls a Service. The caller holds mu.
func (e *Engine) beginAttempt(j *job) {
	en := j.entry
	en.job = nil
	en.record = en.record.Begin(e.options.Now())
	ctx, cancel := context.WithCancel(e.ctx)
	en.cancel = cancel
	record := en.record
	e.work.Go(func() {
		defer cancel()
		answer := e.attempt(ctx, en, record)
		e.mu.Lock()
		defer e.mu.Unlock()
		en.cancel = nil
		if s, known := e.services[record.Service]; known {
			s.lane.window.fared(overloaded(answer), s.lane.running)
			e.release(s.lane)
		}
	})
}

// overloaded reports whether an answer asks for time.
func overloaded(a request.Answer) bool {
	return a.RetryAfter != "" && (a.Status == http.StatusServiceUnavailable || a.Status == http.StatusTooManyRequests)
}

// attempt makes one attempt and stores what came of it. With the engine's context at its end nothing is stored: it is made again.
func (e *Engine) attempt(ctx context.Context, en *entry, r request.Record) request.Answer {
	m, err := e.journal.Request(ctx, r.ID)
	var answer request.Answer
	var kept journal.Message
	if err != nil {
		answer.Error = err.Error()
	} else {
		answer, kept = e.options.Attempt(ctx, r, m)
	}
	if e.ctx.Err() != nil {
		return answer
	}
	e.metrics.attempt(r.Service, answer.Status)
	_, err = e.next(e.ctx, en, true, func(now request.Record) (request.Record, error) {
		if now.State != request.Running {
			return now, errOver
		}
		return now.Answered(answer, e.options.Now(), e.options.Random()), nil
	}, func(ctx context.Context, next *request.Record) error { return e.finish(ctx, next, kept) })
	if err != nil && !errors.Is(err, errOver) && e.ctx.Err() == nil {
		// It is stored as waiting still: a restart makes the attempt again.
		e.options.Logger.Error("what came of a request not stored", "request", r.ID, "service", r.Service.String(), "error", err)
	}
	e.journal.Done(r.ID)
	return answer
}

// finish stores a record with the answer, if that is kept.
func (e *Engine) finish(ctx context.Context, r *request.Record, answer journal.Message) error {
	if !r.Kept {
		return e.change(ctx, r)
	}
	err := e.journal.Finish(ctx, *r, answer)
	if errors.Is(err, log.ErrTooLarge) {
		r.Kept, r.Error = false, fmt.Sprintf("the answer is not kept: %v", err)
		err = e.change(ctx, r)
	}
	return err
}

// change stores a record.
func (e *Engine) change(ctx context.Context, r *request.Record) error {
	return e.journal.Change(ctx, *r)
}

// Cancel ends a request: it is not called any more, and an attempt under way is broken off.
func (e *Engine) Cancel(ctx context.Context, service model.Key, id string) (request.Record, error) {
	en, err := e.find(service, id)
	if err != nil {
		return request.Record{}, err
	}
	e.mu.Lock()
	// So that it does not begin meanwhile.
	taken := e.service(service).lane.take(en.job)
	e.mu.Unlock()
	r, err := e.next(ctx, en, false, func(now request.Record) (request.Record, error) { return now.Cancel(e.options.Now()) }, e.change)
	if err != nil && taken {
		e.mu.Lock()
		if en.record.State == request.Queued {
			e.enqueueAttempt(en)
		}
		e.mu.Unlock()
	}
	return r, err
}

// Again has a dead request tried as if it were new.
func (e *Engine) Again(ctx context.Context, service model.Key, id string) (request.Record, error) {
	en, err := e.find(service, id)
	if err != nil {
		return request.Record{}, err
	}
	return e.next(ctx, en, false, func(now request.Record) (request.Record, error) { return now.Again(e.options.Now()) }, e.change)
}

func (e *Engine) find(service model.Key, id string) (*entry, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	en, known := e.entries[id]
	if !known || en.record.Service != service {
		return nil, fmt.Errorf("request %q of %s: %w", id, service, ErrUnknown)
	}
	return en, nil
}
