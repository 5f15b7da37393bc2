package async

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/eventing/async/journal"
	"ebb.dev/ebb/eventing/async/request"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// Submission is a request to be answered later.
type Submission struct {
	Service model.Key
	Method  string
	// Target is the path and query.
	Target  string
	Message journal.Message
	// Key is the client's Idempotency-Key, empty for none.
	Key string
	// Delay is how long to wait before the first attempt.
	Delay time.Duration
	Terms request.Terms
	// Callback is a URL that gets the answer, or empty.
	Callback string
}

// Accept stores a request and returns its record: a new one, or that of the first request with the same key.
func (e *Engine) Accept(ctx context.Context, s Submission, policy async.Policy) (r request.Record, again bool, err error) {
	r = e.record(s, policy)
	for {
		en, ours, err := e.reserve(r, policy, int64(len(s.Message.Body)))
		if err != nil {
			return r, false, err
		}
		if !ours {
			first, stored, err := e.first(ctx, en, r)
			if err != nil || stored {
				return first, true, err
			}
			continue // that one could not be stored: this one is the first now
		}
		if err := e.journal.Accept(ctx, r, s.Message); err != nil {
			e.giveUp(en)
			if errors.Is(err, log.ErrFull) {
				err = fmt.Errorf("%w: %w", ErrFull, err)
			}
			return r, false, err
		}
		e.mu.Lock()
		close(en.stored)
		e.metrics.accepted.WithLabelValues(r.Service.Namespace, r.Service.Name).Inc()
		e.enqueueAttempt(en)
		e.mu.Unlock()
		return r, false, nil
	}
}

// record is that of a new request.
func (e *Engine) record(s Submission, policy async.Policy) request.Record {
	now := e.options.Now()
	r := request.Record{
		ID: newID(), Version: 1, Service: s.Service, Method: s.Method, Target: s.Target, Key: s.Key, Terms: s.Terms,
		State: request.Queued, Accepted: now, Due: now.Add(s.Delay),
	}
	if s.Key != "" {
		r.Print = fingerprint(s)
	}
	if s.Callback != "" {
		r.Notices = append(r.Notices, request.Notice{Kind: request.Callback, URL: s.Callback})
	}
	if policy.DeadLetter != "" {
		r.Notices = append(r.Notices, request.Notice{Kind: request.DeadLetter, URL: policy.DeadLetter})
	}
	return r
}

// newID is a name that nobody guesses: who knows it may ask for the answer.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// fingerprint tells requests apart that have the same key.
func fingerprint(s Submission) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", s.Method, s.Target)
	h.Write(s.Message.Body)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// reserve makes an entry for a request; or returns the one that has its key, which is not ours.
func (e *Engine) reserve(r request.Record, policy async.Policy, bytes int64) (en *entry, ours bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := idempotency{r.Service, r.Key}
	if en, known := e.keys[key]; known && r.Key != "" {
		return en, false, nil
	}
	s := e.service(r.Service)
	s.lane.window.set(policy.Concurrency)
	switch {
	case s.open >= policy.Queue:
		return nil, false, fmt.Errorf("%w for %s: %d; %s allows more", ErrFull, r.Service, s.open, async.QueueKey)
	case e.open >= e.options.Open:
		return nil, false, fmt.Errorf("%w altogether: %d", ErrFull, e.open)
	}
	for e.journal.Bytes()+bytes > e.options.Bytes {
		if !e.forgetEarly() {
			return nil, false, fmt.Errorf("%w altogether: %d bytes", ErrFull, e.journal.Bytes())
		}
	}
	en = &entry{record: r, stored: make(chan struct{})}
	e.entries[r.ID] = en
	if r.Key != "" {
		e.keys[key] = en
	}
	e.count(r.Service, 1)
	return en, true, nil
}

// giveUp takes back what was reserved.
func (e *Engine) giveUp(en *entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count(en.record.Service, -1)
	e.remove(en)
	close(en.stored)
}

// first is the record of the request that had the key first; stored is false if it could not be stored.
func (e *Engine) first(ctx context.Context, en *entry, r request.Record) (first request.Record, stored bool, err error) {
	if en.stored != nil {
		select {
		case <-en.stored:
		case <-ctx.Done():
			return r, false, ctx.Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.entries[en.record.ID] != en {
		return r, false, nil
	}
	if en.record.Print != r.Print {
		return r, false, fmt.Errorf("%w: %q, with another method, path or body", ErrMismatch, r.Key)
	}
	return en.record, true, nil
}

// remove drops an entry. The caller holds mu.
func (e *Engine) remove(en *entry) {
	delete(e.entries, en.record.ID)
	if key := (idempotency{en.record.Service, en.record.Key}); e.keys[key] == en {
		delete(e.keys, key)
	}
	e.service(en.record.Service).lane.take(en.job)
	e.notices.take(en.notice)
	if s := e.services[en.record.Service]; s.open == 0 && s.lane.running == 0 && len(s.lane.queue) == 0 {
		delete(e.services, en.record.Service)
		e.metrics.forget(en.record.Service)
	}
}
