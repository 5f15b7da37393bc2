package trace

import (
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"ebb.dev/ebb/eventing/extension"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent  = "00-" + traceID + "-00f067aa0ba902b7-01"
	unkept  = "00-" + traceID + "-00f067aa0ba902b7-00"
)

func recording() (*Tracer, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	t := &Tracer{}
	t.Use(sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)))
	return t, recorder
}

func TestSpansAreBelowWhatTheEventCarries(t *testing.T) {
	tracer, recorder := recording()
	e := event.New()
	e.SetID("1")
	Give(&e, Context{Parent: parent, State: "a=b"})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	span := tracer.Begin(Of(&e), Gives, "deliver", at, Attributes(&e)...)
	span.Set(attribute.Int("code", 503))
	span.End(at.Add(time.Second), "refused")
	below := tracer.Begin(span.Context(), Inner, "store", at)
	below.End(at, "")
	ended := recorder.Ended()
	if len(ended) != 2 {
		t.Fatal(ended)
	}
	first, second := ended[0], ended[1]
	if first.Parent().SpanID().String() != "00f067aa0ba902b7" || first.SpanContext().TraceID().String() != traceID || first.SpanContext().TraceState().String() != "a=b" {
		t.Errorf("first below %v", first.Parent())
	}
	if first.Status().Code != codes.Error || !first.StartTime().Equal(at) || first.EndTime().Sub(at) != time.Second {
		t.Errorf("first %v", first)
	}
	if second.Parent().SpanID() != first.SpanContext().SpanID() || second.Status().Code == codes.Error {
		t.Errorf("second below %v", second.Parent())
	}
	if c := span.Context(); c.ID() != traceID || c.Parent == parent || c.State != "a=b" {
		t.Errorf("goes on with %+v", c)
	}
}

func TestWhatTheSenderDoesNotKeepIsNotKept(t *testing.T) {
	tracer, recorder := recording()
	span := tracer.Begin(Context{Parent: unkept}, Takes, "accept", time.Now())
	span.End(time.Now(), "")
	if len(recorder.Ended()) != 0 || span.Context().ID() != traceID {
		t.Errorf("%v, %+v", recorder.Ended(), span.Context())
	}
}

func TestAnEventKeepsTheContextItHas(t *testing.T) {
	e := event.New()
	e.SetExtension(extension.TraceParent, parent)
	Give(&e, Context{Parent: unkept})
	if Of(&e).Parent != parent {
		t.Error(Of(&e))
	}
	plain := event.New()
	Give(&plain, Context{})
	if len(plain.Extensions()) != 0 || Of(&plain) != (Context{}) {
		t.Error(plain.Extensions())
	}
}

func TestNothingIsMadeWhileItIsOff(t *testing.T) {
	var none *Tracer
	for _, tracer := range []*Tracer{none, {}} {
		span := tracer.Begin(Context{Parent: parent}, Gives, "deliver", time.Now())
		span.Set(attribute.Bool("a", true))
		span.End(time.Now(), "")
		if tracer.On() || !span.None() || span.Context() != (Context{}) {
			t.Errorf("%+v", span)
		}
	}
	tracer, recorder := recording()
	tracer.Use(nil)
	tracer.Begin(Context{}, Gives, "deliver", time.Now()).End(time.Now(), "")
	if tracer.On() || len(recorder.Ended()) != 0 {
		t.Error("turned off, and goes on")
	}
	if n := testing.AllocsPerRun(100, func() {
		if tracer.On() {
			t.Error("on")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWhatIsNoContextBelongsNowhere(t *testing.T) {
	for _, s := range []string{"", "x", "00-0-0-0", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"} {
		if id := (Context{Parent: s}).ID(); id != "" {
			t.Errorf("%q: %s", s, id)
		}
	}
}
