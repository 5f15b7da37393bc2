package ingress

import (
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// The extensions that are set when an event comes in.
const (
	// ttlExtension is how often an event may still enter a Broker.
	ttlExtension = "knativebrokerttl"
	// arrivalExtension is when it entered this one.
	arrivalExtension = "knativearrivaltime"
	// traceparentExtension and tracestateExtension are those of the CloudEvents extension for distributed tracing.
	traceparentExtension = "traceparent"
	tracestateExtension  = "tracestate"
)

// fullTTL is what an event begins with.
const fullTTL = 255

// traceparent is what W3C Trace Context calls valid.
var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}`)

// stamp sets what a Broker sets on an event that enters it. spend is how many hops entering takes: the dispatcher has already taken the one of
// a reply. An event that has none left goes round in circles, and is refused.
func stamp(e *event.Event, spend int32, now time.Time) error {
	left := int32(fullTTL)
	if value, has := e.Extensions()[ttlExtension]; has {
		if n, err := types.ToInteger(value); err == nil {
			left = max(n, 0) - spend
		}
	}
	if left <= 0 {
		return fmt.Errorf("event %s of %s has entered brokers too often: its %s is used up", e.ID(), e.Source(), ttlExtension)
	}
	e.SetExtension(ttlExtension, left)
	e.SetExtension(arrivalExtension, types.Timestamp{Time: now.UTC()})
	return nil
}

// trace gives an event the trace of the request that brought it, unless it has one.
func trace(e *event.Event, h http.Header) {
	parent := h.Get("Traceparent")
	if _, has := e.Extensions()[traceparentExtension]; has || !traceparent.MatchString(parent) {
		return
	}
	e.SetExtension(traceparentExtension, parent)
	if state := h.Get("Tracestate"); state != "" {
		e.SetExtension(tracestateExtension, state)
	}
}
