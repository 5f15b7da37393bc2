package dispatch

import (
	"cmp"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/attribute"

	"ebb.dev/ebb/eventing/dispatch/decide"
	"ebb.dev/ebb/eventing/dispatch/position"
	"ebb.dev/ebb/eventing/dispatch/send"
	"ebb.dev/ebb/eventing/trace"
)

// spanNames are what an attempt is in each stage.
var spanNames = map[position.Stage]string{position.Subscriber: "deliver", position.Reply: "reply", position.DeadLetter: "dead letter"}

// span begins the span of an attempt.
func (r *reader) span(j *job, e *event.Event, to string, begun time.Time) trace.Span {
	if !r.d.Tracer.On() {
		return trace.Span{}
	}
	attributes := append(trace.Attributes(e),
		attribute.String("ebb.reader", string(j.spec.Kind)+" "+j.spec.Key.String()), attribute.String("messaging.destination.name", to),
		attribute.Int("ebb.attempt", j.item.Failed+1), attribute.Int64("ebb.position", int64(j.item.Position)), attribute.Bool("ebb.replay", r.replay != nil),
	)
	return r.d.Tracer.Begin(trace.Of(e), trace.Gives, spanNames[j.item.Stage], begun, attributes...)
}

// endSpan ends the span of an attempt. A reply that does not say where it belongs belongs to what it answers.
func (r *reader) endSpan(span trace.Span, e *event.Event, a send.Answer) {
	if a.Reply != nil {
		trace.Give(a.Reply, span.Context())
		trace.Give(a.Reply, trace.Of(e))
	}
	if span.None() {
		return
	}
	wrong := ""
	switch decide.Judge(a.Status, a.Reply != nil) {
	case decide.Retryable, decide.Refused:
		wrong = cmp.Or(a.Text, "the answer has no text")
	}
	if a.Status != decide.NoAnswer {
		span.Set(attribute.Int("http.response.status_code", a.Status))
	}
	span.End(r.d.Clock.Now(), wrong)
}
