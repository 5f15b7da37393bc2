package dispatch

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/dispatch/decide"
	"ebb.dev/ebb/eventing/dispatch/position"
	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/extension"
	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

const (
	// retryLog is how long the log is left alone after it failed to read or store an event; no attempt is counted for it.
	retryLog = time.Second
	// sayAgain is how long one reason why events are not sent is not said again.
	sayAgain = 10 * time.Second
	// storeTime bounds storing an event that has to survive the end of its delivery.
	storeTime = 5 * time.Second
)

// job is a position that a worker carries as far as it gets.
type job struct {
	item position.Item
	spec model.Reader
	// event is what was read, made what is to be sent in its stage; nil if they are not in memory.
	event, made *event.Event
	ctx         context.Context
}

// ending is where a position is when its worker leaves it.
type ending struct {
	item position.Item
	done bool
	// made is the event to send next time, if it could not be stored.
	made *event.Event
}

// errGone says that the log does not have an event any more.
var errGone = errors.New("the log does not keep the event any more")

// work delivers as long as there is something to deliver.
func (r *reader) work() {
	for {
		j, ok := r.next()
		if !ok {
			return
		}
		r.settle(r.carry(j))
	}
}

// carry takes an event through its stages until it is done with or has to wait.
func (r *reader) carry(j job) ending {
	for {
		var step step
		switch j.item.Stage {
		case position.Subscriber:
			step = r.toSubscriber(&j)
		case position.Reply:
			step = r.toReply(&j)
		case position.DeadLetter:
			step = r.toDeadLetter(&j)
		default:
			step = r.toShelf(&j)
		}
		switch step {
		case finished:
			return ending{item: j.item, done: true}
		case waits:
			return r.leave(j)
		}
	}
}

// step is what follows a stage.
type step int

const (
	finished step = iota
	waits
	onward
)

// enter begins another stage with the event it sends.
func (j *job) enter(stage position.Stage, made *event.Event) step {
	j.item = position.Item{Position: j.item.Position, Stage: stage}
	j.made = made
	return onward
}

// leave stores an event that its stream does not have, so that the stage goes on from here after a restart.
func (r *reader) leave(j job) ending {
	if j.item.Stage == position.Subscriber || j.item.Ref != 0 || j.made == nil || r.replay != nil {
		return ending{item: j.item, made: j.made}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.ctx), storeTime)
	defer cancel()
	at, err := r.store(ctx, sideStream(r.id), j.made)
	if err != nil {
		r.warn("event to be retried is in memory only", j.item, err)
		return ending{item: j.item, made: j.made}
	}
	j.item.Ref = at
	return ending{item: j.item}
}

// toSubscriber makes an attempt at the subscriber.
func (r *reader) toSubscriber(j *job) step {
	e, step := r.original(j)
	if e == nil {
		return step
	}
	answer, counts := r.attempt(j, e, j.spec.Subscriber, true)
	if !counts {
		return waits
	}
	outcome := decide.Judge(answer.Status, answer.Reply != nil)
	switch outcome {
	case decide.Delivered, decide.Replied:
		r.count(func(s *stats) {
			s.taken(r.events[j.item.Position].stored, r.d.Clock.Now())
			if answer.Malformed {
				s.malformed++
			}
		})
		return r.replied(j, e, answer.Reply)
	}
	return r.failed(j, e, j.spec.Subscriber.URL, outcome, answer)
}

// paced takes from an answer of the subscriber how many events it gets at once. r.mu is held.
func (r *reader) paced(now time.Time, took time.Duration, status int) {
	switch {
	case status >= 200 && status <= 299:
		r.turns.delivered(now, took)
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable, status == decide.NoAnswer:
		few, _ := r.overlap()
		r.turns.refused(now, few)
	}
}

// replied decides where a reply goes.
func (r *reader) replied(j *job, answered, reply *event.Event) step {
	switch {
	case reply == nil:
		return finished
	case j.spec.Reply.URL != "":
		return j.enter(position.Reply, reply)
	case j.spec.Kind != model.Trigger:
		return finished
	}
	back, ok := decide.Reentry(answered, reply)
	if !ok {
		r.count(func(s *stats) { s.expired++ })
		r.d.Logger.Warn("reply dropped, its hops are used up", "reader", j.spec.Key, "source", reply.Source(), "id", reply.ID())
		return finished
	}
	return j.enter(position.Reply, back)
}

// failed says what follows an attempt that failed: another one, or the event is given up.
func (r *reader) failed(j *job, original *event.Event, dest string, outcome decide.Outcome, a send.Answer) step {
	if r.again(j, outcome, a) {
		return waits
	}
	return j.enter(position.DeadLetter, decide.Dead(original, decide.Failure{Dest: dest, Code: a.Status, Data: a.Text}))
}

// again counts an attempt that failed, and says whether another one follows.
func (r *reader) again(j *job, outcome decide.Outcome, a send.Answer) bool {
	j.item.Failed++
	now := r.d.Clock.Now()
	due, again := time.Time{}, false
	if outcome == decide.Retryable {
		answer := decide.Answer{Status: a.Status, RetryAfter: a.RetryAfter}
		due, again = decide.Next(j.spec.Delivery, j.item.Failed, answer, now, r.d.random())
	}
	j.item.Due = due
	r.count(func(s *stats) {
		s.failure = failure{At: now, Status: a.Status, Text: a.Text}
		if again {
			s.retried++
		}
	})
	return again
}

// toReply sends a reply on, or back into the broker. When that fails for good, the event that was answered is given up.
func (r *reader) toReply(j *job) step {
	reply, step := r.apart(j)
	if reply == nil {
		return step
	}
	var answer send.Answer
	var counts bool
	dest := j.spec.Reply.URL
	if dest != "" {
		answer, counts = r.attempt(j, reply, j.spec.Reply, false)
	} else {
		dest = string(j.spec.Stream)
		answer, counts = r.accept(j, reply)
	}
	if !counts {
		return waits
	}
	outcome := decide.Judge(answer.Status, false)
	if outcome == decide.Delivered {
		r.count(func(s *stats) { s.replied, s.repliedAt = s.replied+1, r.d.Clock.Now() })
		return finished
	}
	// The original is needed only if this was the last attempt, but it has to be at hand before the count goes up.
	original, step := r.original(j)
	if original == nil {
		return step
	}
	return r.failed(j, original, dest, outcome, answer)
}

// accept takes a reply back into the reader's own stream. The answer is what the ingress would say. It counts unless it was broken off as the
// reader ended, or comes too early.
func (r *reader) accept(j *job, reply *event.Event) (a send.Answer, counts bool) {
	ctx, cancel := context.WithTimeout(j.ctx, r.timeout(j.spec))
	defer cancel()
	span := r.span(j, reply, string(j.spec.Stream), r.d.Clock.Now())
	defer func() { r.endSpan(span, reply, a) }()
	err := r.d.MayReply(ctx, j.spec, reply)
	if err == nil {
		err = r.d.Accept(ctx, j.spec.Stream, reply)
	}
	switch {
	case err == nil:
		return send.Answer{Status: 202}, true
	case j.ctx.Err() != nil:
		return send.Answer{}, false
	case errors.Is(err, ErrNotYet):
		r.later(j)
		return send.Answer{Status: 503, Text: err.Error(), Err: err}, false
	case errors.Is(err, ErrMayNot):
		return send.Answer{Status: 403, Text: err.Error(), Err: err}, true
	case errors.Is(err, log.ErrInvalid):
		return send.Answer{Status: 400, Text: err.Error(), Err: err}, true
	case errors.Is(err, log.ErrTooLarge):
		return send.Answer{Status: 413, Text: err.Error(), Err: err}, true
	default:
		return send.Answer{Status: 503, Text: err.Error(), Err: err}, true
	}
}

// toDeadLetter sends a dead event to the sink.
func (r *reader) toDeadLetter(j *job) step {
	dead, step := r.apart(j)
	if dead == nil {
		return step
	}
	sink := j.spec.Delivery.DeadLetter
	if sink.URL == "" {
		return j.enter(position.Shelf, dead)
	}
	answer, counts := r.attempt(j, dead, sink, false)
	if !counts {
		return waits
	}
	outcome := decide.Judge(answer.Status, false)
	if outcome == decide.Delivered {
		r.count(func(s *stats) { s.end(j.item.Position, dead, ToSink, r.d.Clock.Now()) })
		return finished
	}
	if r.again(j, outcome, answer) {
		return waits
	}
	// The letter still tells why the subscriber did not get the event, not why the sink did not.
	return j.enter(position.Shelf, dead)
}

// toShelf puts a dead event on the reader's list, however long that takes.
func (r *reader) toShelf(j *job) step {
	dead, step := r.apart(j)
	if dead == nil {
		return step
	}
	if _, err := r.store(j.ctx, r.shelf(), dead); err != nil {
		r.warn("dead event cannot be stored, tried again", j.item, err)
		return r.later(j)
	}
	r.count(func(s *stats) { s.end(j.item.Position, dead, ToList, r.d.Clock.Now()) })
	r.d.Logger.Warn("event given up", "reader", j.spec.Key, "source", dead.Source(), "id", dead.ID(), "list", r.shelf(),
		"code", dead.Extensions()[extension.ErrorCode], "answer", dead.Extensions()[extension.ErrorData])
	return finished
}

// attempt sends an event once. It counts unless it was broken off as the reader ended, or the event is as good as not sent.
func (r *reader) attempt(j *job, e *event.Event, to model.Destination, wantReply bool) (a send.Answer, counts bool) {
	begun := r.d.Clock.Now()
	span := r.span(j, e, to.URL, begun)
	a = r.d.Sender.Send(j.ctx, send.Request{
		Event: decide.Outgoing(e), To: to, As: j.spec.As, Structured: j.spec.Delivery.Structured, WantReply: wantReply, Timeout: r.timeout(j.spec), Trace: span.Context(),
	})
	r.endSpan(span, e, a)
	if a.Status == decide.NoAnswer && j.ctx.Err() != nil {
		return a, false
	}
	r.count(func(s *stats) {
		now := r.d.Clock.Now()
		took := now.Sub(begun)
		observe(&s.attempts, took)
		if j.item.Stage == position.Subscriber && !a.Unsent() {
			r.paced(now, took, a.Status)
		}
	})
	if a.Unsent() {
		r.unsent(j, a)
	}
	return a, !a.Unsent()
}

// unsent has an attempt made again that did not come to anything.
func (r *reader) unsent(j *job, a send.Answer) {
	now := r.d.Clock.Now()
	j.item.Due = now.Add(a.Again)
	said := false
	r.count(func(s *stats) {
		said = s.failure.Text == a.Text && now.Sub(s.failure.At) < sayAgain
		if !said {
			s.failure = failure{At: now, Status: a.Status, Text: a.Text}
		}
	})
	if !said {
		r.d.Logger.Warn("event not sent, tried again", "reader", r.name(), "position", j.item.Position,
			"stage", j.item.Stage, "answer", a.Text)
	}
}

// timeout bounds an attempt.
func (r *reader) timeout(spec model.Reader) time.Duration {
	if spec.Delivery.Timeout > 0 {
		return spec.Delivery.Timeout
	}
	return r.d.Timeout
}

// original is the event as the reader's stream has it; nil if there is none, and then what follows.
func (r *reader) original(j *job) (*event.Event, step) {
	if j.event != nil {
		return j.event, onward
	}
	record, err := r.get(j.ctx, j.spec.Stream, j.item.Position)
	if err != nil {
		return nil, r.unread(j, err)
	}
	j.event = record.Event
	r.noted(record)
	return j.event, onward
}

// apart is the event that the stage sends; nil if there is none, and then what follows.
func (r *reader) apart(j *job) (*event.Event, step) {
	if j.made != nil {
		return j.made, onward
	}
	record, err := r.get(j.ctx, sideStream(r.id), j.item.Ref)
	if err != nil {
		return nil, r.unread(j, err)
	}
	j.made = record.Event
	return j.made, onward
}

func (r *reader) get(ctx context.Context, stream model.StreamID, p log.Position) (log.Record, error) {
	records, err := r.d.Log.Get(ctx, stream, p)
	if err != nil {
		return log.Record{}, err
	}
	if len(records) == 0 {
		return log.Record{}, errGone
	}
	return records[0], nil
}

// unread says what follows when an event could not be read.
func (r *reader) unread(j *job, err error) step {
	if errors.Is(err, errGone) {
		r.count(func(s *stats) { s.end(j.item.Position, nil, Nowhere, r.d.Clock.Now()) })
		r.d.Logger.Error("event lost before it was delivered", "reader", j.spec.Key, "stream", j.spec.Stream, "position", j.item.Position,
			"stage", j.item.Stage, "error", err)
		return finished
	}
	if j.ctx.Err() != nil {
		return waits
	}
	r.warn("event cannot be read, tried again", j.item, err)
	return r.later(j)
}

// later has the stage tried again when the log may have recovered.
func (r *reader) later(j *job) step {
	j.item.Due = r.d.Clock.Now().Add(retryLog)
	return waits
}

// store appends an event to one of the reader's own streams.
func (r *reader) store(ctx context.Context, stream model.StreamID, e *event.Event) (log.Position, error) {
	at, err := r.d.Log.Append(ctx, stream, e)
	if errors.Is(err, log.ErrUnknown) {
		if err := r.d.Log.Ensure(ctx, r.sideOf(stream)); err != nil {
			return 0, err
		}
		if stream == sideStream(r.id) {
			// What is stored apart is held until this reader has moved past it.
			if err := r.d.Log.Keep(ctx, stream, r.id, 0, []byte{}); err != nil {
				return 0, err
			}
		}
		at, err = r.d.Log.Append(ctx, stream, e)
	}
	if err != nil {
		return 0, err
	}
	return at[0], nil
}

// sideOf describes one of the reader's own streams.
func (r *reader) sideOf(id model.StreamID) model.Stream {
	spec := r.current()
	s := model.Stream{ID: id, Kind: spec.Kind, Key: spec.Key}
	if id == r.shelf() {
		s.Limits = r.d.DeadLimits
	}
	return s
}

// noted remembers when an event was stored that had to be read again.
func (r *reader) noted(record log.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events == nil {
		r.events = map[log.Position]cached{}
	}
	c := r.events[record.Position]
	c.stored = record.Stored
	r.events[record.Position] = c
}

func (r *reader) count(f func(*stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.stats)
}

func (r *reader) warn(message string, it position.Item, err error) {
	r.d.Logger.Warn(message, "reader", r.name(), "position", it.Position, "stage", it.Stage, "error", err)
}
