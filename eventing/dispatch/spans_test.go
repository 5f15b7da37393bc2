package dispatch

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"ebb.dev/ebb/eventing/ingress"
	"ebb.dev/ebb/eventing/model"
	"ebb.dev/ebb/eventing/trace"
)

const (
	senderTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	senderSpan   = "00f067aa0ba902b7"
	senderParent = "00-" + senderTrace + "-" + senderSpan + "-01"
)

// traced takes one event with a request's trace, delivers it to a subscriber that fails once and then answers with an event, and returns
// what the subscriber's requests belong to and what is stored.
func traced(t *testing.T, tracer *trace.Tracer) (s *subscriber, l *memory) {
	t.Helper()
	s = subscribe(t, func(w http.ResponseWriter, _ *http.Request, id string, nth int) {
		switch {
		case id == "e1" && nth == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case id == "e1":
			h := w.Header()
			for name, value := range map[string]string{"Specversion": "1.0", "Id": "r1", "Source": "/s", "Type": "reply"} {
				h.Set("Ce-"+name, value)
			}
			_, _ = io.WriteString(w, "reply")
		}
	})
	l = newMemory(time.Now, broker)
	streams := &ingress.Registry{}
	streams.Set(model.Stream{ID: broker, Kind: model.Broker, Key: model.Key{Namespace: "default", Name: "main"}})
	front := ingress.New(ingress.Options{Log: l, Streams: streams, Tracer: tracer})
	reader := trigger("a", s.URL)
	reader.Delivery.Delay = time.Millisecond
	d := run(t, Options{Log: l, Accept: front.Accept, Tracer: tracer}, reader)
	request := httptest.NewRequest(http.MethodPost, "/default/main", strings.NewReader("hello"))
	for name, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "e1", "Ce-Source": "/me", "Ce-Type": "t", "Traceparent": senderParent} {
		request.Header.Set(name, value)
	}
	answer := httptest.NewRecorder()
	front.ServeHTTP(answer, request)
	if answer.Code != http.StatusAccepted {
		t.Fatal(answer.Code, answer.Body)
	}
	eventually(t, "the reply is delivered", func() bool { return d.look(reader.ID).Delivered == 2 })
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	return s, l
}

func TestSpansJoinSenderAndSubscriberThroughTheLog(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracer := &trace.Tracer{}
	tracer.Use(sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)))
	s, l := traced(t, tracer)

	names := map[string]string{senderSpan: "sender"}
	for _, span := range recorder.Ended() {
		names[span.SpanContext().SpanID().String()] = span.Name()
	}
	var tree []string
	for _, span := range recorder.Ended() {
		if id := span.SpanContext().TraceID().String(); id != senderTrace {
			t.Errorf("%s belongs to %s", span.Name(), id)
		}
		tree = append(tree, fmt.Sprintf("%s < %s %s", span.Name(), names[span.Parent().SpanID().String()], span.Status().Code))
	}
	slices.Sort(tree)
	want := []string{
		"accept < sender Unset", "deliver < accept Error", "deliver < accept Unset", "deliver < deliver Unset",
		"reply < deliver Unset", "store < accept Unset", "store < deliver Unset",
	}
	if !slices.Equal(tree, want) {
		t.Errorf("got  %q\nwant %q", tree, want)
	}
	for _, h := range s.headers() {
		c := trace.Context{Parent: h.Get("Traceparent")}
		if got := names[strings.Split(c.Parent, "-")[2]]; c.ID() != senderTrace || got != "deliver" {
			t.Errorf("the subscriber goes on from %q, a %q", c.Parent, got)
		}
	}
	for _, e := range l.stored(broker) {
		if trace.Of(e).ID() != senderTrace {
			t.Errorf("%s is stored with %+v", e.ID(), trace.Of(e))
		}
	}
}

func TestTheSendersTraceIsKeptWhileTracingIsOff(t *testing.T) {
	s, l := traced(t, nil)
	for _, h := range s.headers() {
		if h.Get("Traceparent") != senderParent || h.Get("Ce-Traceparent") != senderParent {
			t.Errorf("the subscriber gets %q", h.Get("Traceparent"))
		}
	}
	for _, e := range l.stored(broker) {
		if trace.Of(e).Parent != senderParent {
			t.Errorf("%s is stored with %+v", e.ID(), trace.Of(e))
		}
	}
}
