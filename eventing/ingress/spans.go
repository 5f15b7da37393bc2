package ingress

import (
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/attribute"

	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/trace"
)

// accepting begins the span of a request, below what the request or its first event belongs to. Events that do not say where they belong are
// given it: the span, or what the request says while there are none.
func (h *Handler) accepting(header http.Header, s model.Stream, events []*event.Event, began time.Time) trace.Span {
	carried := trace.Context{Parent: header.Get("Traceparent"), State: header.Get("Tracestate")}
	if carried.Parent != "" && carried.ID() == "" {
		carried = trace.Context{}
	}
	var span trace.Span
	if h.options.Tracer.On() {
		parent := carried
		if parent.Parent == "" && len(events) > 0 {
			parent = trace.Of(events[0])
		}
		span = h.options.Tracer.Begin(parent, trace.Takes, "accept", began, attributes(s, events)...)
		carried = span.Context()
	}
	for _, e := range events {
		trace.Give(e, carried)
	}
	return span
}

// storing begins the span of storing events, below another one if that is there, or below what the first event belongs to.
func (h *Handler) storing(s model.Stream, events []*event.Event, below trace.Span) trace.Span {
	if !h.options.Tracer.On() {
		return trace.Span{}
	}
	parent := below.Context()
	if parent.Parent == "" {
		parent = trace.Of(events[0])
	}
	return h.options.Tracer.Begin(parent, trace.Inner, "store", h.options.Now(), attributes(s, events)...)
}

// end ends a span.
func (h *Handler) end(span trace.Span, err error) {
	if span.None() {
		return
	}
	wrong := ""
	if err != nil {
		wrong = err.Error()
	}
	span.End(h.options.Now(), wrong)
}

// attributes are those of a span about events of a stream.
func attributes(s model.Stream, events []*event.Event) []attribute.KeyValue {
	out := []attribute.KeyValue{attribute.String("ebb.stream", string(s.Kind)+" "+s.Key.String())}
	if len(events) == 1 {
		return append(out, trace.Attributes(events[0])...)
	}
	return append(out, attribute.String("messaging.system", "ebb"), attribute.Int("messaging.batch.message_count", len(events)))
}
