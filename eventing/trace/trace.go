package trace

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"ebb.dev/ebb/eventing/extension"
)

// scope names what makes the spans.
const scope = "ebb.dev/ebb/eventing"

// Context is where something belongs, as W3C Trace Context writes it. The zero value belongs nowhere.
type Context struct {
	// Parent is a traceparent, State a tracestate.
	Parent, State string
}

// Of is the context that an event carries.
func Of(e *event.Event) Context {
	extensions := e.Extensions()
	parent, _ := extensions[extension.TraceParent].(string)
	if parent == "" {
		return Context{}
	}
	state, _ := extensions[extension.TraceState].(string)
	return Context{Parent: parent, State: state}
}

// Give has an event carry a context, unless it has one or there is none.
func Give(e *event.Event, c Context) {
	if c.Parent == "" {
		return
	}
	if _, has := e.Extensions()[extension.TraceParent]; has {
		return
	}
	e.SetExtension(extension.TraceParent, c.Parent)
	if c.State != "" {
		e.SetExtension(extension.TraceState, c.State)
	}
}

// ID is the trace that a context belongs to; empty if it is none.
func (c Context) ID() string {
	s := c.span()
	if !s.HasTraceID() {
		return ""
	}
	return s.TraceID().String()
}

func (c Context) span() trace.SpanContext {
	return trace.SpanContextFromContext(c.in(context.Background()))
}

func (c Context) in(ctx context.Context) context.Context {
	if c.Parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": c.Parent, "tracestate": c.State})
}

// Kind says on which side of an exchange a span is.
type Kind = trace.SpanKind

// The kinds of spans here: taking from a sender, giving to a receiver, and neither.
const (
	Takes = trace.SpanKindConsumer
	Gives = trace.SpanKindProducer
	Inner = trace.SpanKindInternal
)

// Tracer makes spans while it is on. The zero value is off, and so is nil.
type Tracer struct {
	tracer atomic.Pointer[trace.Tracer]
}

// Use has spans made by a provider from now on; nil makes none.
func (t *Tracer) Use(p trace.TracerProvider) {
	if p == nil {
		t.tracer.Store(nil)
		return
	}
	tracer := p.Tracer(scope)
	t.tracer.Store(&tracer)
}

// On says whether spans are made. What has to be put together for one is to be asked for first.
func (t *Tracer) On() bool { return t != nil && t.tracer.Load() != nil }

// Begin begins a span below a parent. While the tracer is off it is the zero Span.
func (t *Tracer) Begin(parent Context, kind Kind, name string, began time.Time, attributes ...attribute.KeyValue) Span {
	if t == nil {
		return Span{}
	}
	tracer := t.tracer.Load()
	if tracer == nil {
		return Span{}
	}
	ctx, span := (*tracer).Start(parent.in(context.Background()), name,
		trace.WithSpanKind(kind), trace.WithTimestamp(began), trace.WithAttributes(attributes...))
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return Span{span: span, context: Context{Parent: carrier["traceparent"], State: carrier["tracestate"]}}
}

// Span is one step in an event's way. The zero value is none, and all may be asked of it.
type Span struct {
	span    trace.Span
	context Context
}

// None says that the span is none.
func (s Span) None() bool { return s.span == nil }

// Context is what belongs below the span; the zero value if there is none.
func (s Span) Context() Context { return s.context }

// Set adds to what is known of the step.
func (s Span) Set(attributes ...attribute.KeyValue) {
	if s.span != nil {
		s.span.SetAttributes(attributes...)
	}
}

// End ends the step at a time, with what went wrong, if that is not empty.
func (s Span) End(at time.Time, wrong string) {
	if s.span == nil {
		return
	}
	if wrong != "" {
		s.span.SetStatus(codes.Error, wrong)
	}
	s.span.End(trace.WithTimestamp(at))
}

// Attributes are those of a span about an event.
func Attributes(e *event.Event) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.system", "ebb"),
		attribute.String("cloudevents.event_id", e.ID()), attribute.String("cloudevents.event_source", e.Source()), attribute.String("cloudevents.event_type", e.Type()),
	}
}
