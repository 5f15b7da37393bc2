package kafka

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"ebb.dev/ebb/eventing/dispatch/decide"
	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/model"
)

// Sender carries an event to a destination once; *send.Sender is one.
type Sender interface {
	Send(ctx context.Context, r send.Request) send.Answer
}

// delivery brings the events of one source to its sink.
type delivery struct {
	sender  Sender
	sink    model.Destination
	spec    model.Delivery
	as      model.Account
	name    string
	log     *slog.Logger
	metrics *Metrics
}

// deliver carries an event as far as it gets: to the sink, or to the dead letter sink. It returns an error only where the context ended before.
func (d *delivery) deliver(ctx context.Context, e *event.Event) error {
	answer, ok := d.attempts(ctx, e, d.sink)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if ok {
		d.metrics.delivered.Inc()
		return nil
	}
	if d.spec.DeadLetter.URL != "" {
		dead := decide.Dead(e, decide.Failure{Dest: d.sink.URL, Code: answer.Status, Data: answer.Text})
		_, ok := d.attempts(ctx, dead, d.spec.DeadLetter)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if ok {
			d.metrics.dead.Inc()
			return nil
		}
	}
	d.metrics.lost.Inc()
	d.log.Error("event given up", "kafkasource", d.name, "source", e.Source(), "id", e.ID(), "sink", d.sink.URL, "status", answer.Status, "text", answer.Text)
	return nil
}

// attempts tries a destination as often as the delivery allows.
func (d *delivery) attempts(ctx context.Context, e *event.Event, to model.Destination) (answer send.Answer, ok bool) {
	for failed := 1; ; failed++ {
		answer = d.sender.Send(ctx, send.Request{Event: e, To: to, As: d.as, Structured: d.spec.Structured, Timeout: d.spec.Timeout})
		if ctx.Err() != nil {
			return answer, false
		}
		if answer.Unsent() {
			failed-- // it says nothing about the event
			d.log.Warn("event not sent, tried again", "kafkasource", d.name, "sink", to.URL, "answer", answer.Text)
			if !pause(ctx, answer.Again) {
				return answer, false
			}
			continue
		}
		switch decide.Judge(answer.Status, false) {
		case decide.Delivered, decide.Replied:
			return answer, true
		case decide.Refused:
			return answer, false
		}
		now := time.Now()
		due, again := decide.Next(d.spec, failed, decide.Answer{Status: answer.Status, RetryAfter: answer.RetryAfter}, now, rand.Float64())
		if !again {
			return answer, false
		}
		d.metrics.retried.Inc()
		if !pause(ctx, due.Sub(now)) {
			return answer, false
		}
	}
}

// pause waits; false if the context ended before.
func pause(ctx context.Context, d time.Duration) bool {
	wait := time.NewTimer(d)
	select {
	case <-wait.C:
		return true
	case <-ctx.Done():
		wait.Stop()
		return false
	}
}
