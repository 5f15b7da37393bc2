package async

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/eventing/async/call"
	"ebb.dev/ebb/eventing/async/request"
)

// scheduleNotices has those told who are still to be told. The caller holds mu.
func (e *Engine) scheduleNotices(en *entry) {
	e.notices.take(en.notice)
	en.notice = nil
	var first time.Time
	for _, n := range en.record.Notices {
		if n.State == request.Pending && (first.IsZero() || n.Due.Before(first)) {
			first = n.Due
		}
	}
	if !first.IsZero() {
		en.notice = e.enqueue(e.notices, en, first)
	}
}

// beginNotice tells those whose time has come. The caller holds mu.
func (e *Engine) beginNotice(j *job) {
	en := j.entry
	en.notice = nil
	record := en.record
	e.work.Go(func() {
		e.tell(en, record)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.release(e.notices)
	})
}

// tell sends the first notice that is due.
func (e *Engine) tell(en *entry, r request.Record) {
	now := e.options.Now()
	for _, n := range r.Notices {
		if n.State != request.Pending || n.Due.After(now) {
			continue
		}
		gone, err := e.send(e.ctx, r, n)
		if e.ctx.Err() != nil {
			return
		}
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		e.metrics.notice(n.Kind, err == nil)
		_, err = e.next(e.ctx, en, true, func(now request.Record) (request.Record, error) {
			if !now.State.Final() {
				return now, errOver // it is tried again: it is told when that has ended
			}
			return now.Told(n.Kind, problem, gone, e.options.Now(), e.options.Random()), nil
		}, e.change)
		if err != nil && !errors.Is(err, errOver) && e.ctx.Err() == nil {
			e.options.Logger.Error("that somebody was told not stored", "request", r.ID, "error", err)
		}
		return
	}
}

// send makes a notice of what is stored.
func (e *Engine) send(ctx context.Context, r request.Record, n request.Notice) (gone bool, err error) {
	secret, err := e.options.Secret(ctx, r.Service.Namespace)
	if err != nil {
		return false, err
	}
	header, body, err := e.content(ctx, r, n.Kind)
	if err != nil {
		return false, err
	}
	header.Set(async.IDHeader, r.ID)
	header.Set(async.StateHeader, string(r.State))
	header.Set(async.HeaderPrefix+"Service", r.Service.String())
	header.Set(async.HeaderPrefix+"Status", strconv.Itoa(r.Status))
	header.Set(async.HeaderPrefix+"Notice", string(n.Kind))
	header.Set(async.HeaderPrefix+"Method", r.Method)
	header.Set(async.HeaderPrefix+"Path", r.Target)
	return e.options.Tell(ctx, call.Notice{URL: n.URL, ID: r.ID + "." + string(n.Kind), Header: header, Body: body, Secret: secret})
}

// content is what a notice carries: a dead letter the request, a callback the answer, or the status where none is kept.
func (e *Engine) content(ctx context.Context, r request.Record, kind request.Kind) (http.Header, []byte, error) {
	if kind == request.DeadLetter || r.Kept {
		read := e.journal.Answer
		if kind == request.DeadLetter {
			read = e.journal.Request
		}
		m, err := read(ctx, r.ID)
		if err != nil {
			return nil, nil, err
		}
		return ofBody(m.Header), m.Body, nil
	}
	body, err := json.Marshal(Describe(r))
	return http.Header{"Content-Type": {"application/json"}}, body, err
}

// ofBody are the headers that say what a body is.
func ofBody(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		switch name {
		case "Content-Type", "Content-Encoding", "Content-Language", "Traceparent", "Tracestate":
			out[name] = values
		default:
			if strings.HasPrefix(name, "Ce-") {
				out[name] = values
			}
		}
	}
	return out
}
