package extension

import (
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

const (
	// TTL is how often an event may still enter a Broker.
	TTL = "knativebrokerttl"
	// ArrivalTime is when it entered one.
	ArrivalTime = "knativearrivaltime"
	// PartitionKey names the group that an event keeps its order in.
	PartitionKey = "partitionkey"
	// TraceParent and TraceState are those of the CloudEvents extension for distributed tracing.
	TraceParent = "traceparent"
	TraceState  = "tracestate"
)

// What a dead letter carries: where the last attempt went, the status it got, and what the answer said.
const (
	ErrorDest = "knativeerrordest"
	ErrorCode = "knativeerrorcode"
	ErrorData = "knativeerrordata"
)

// FullTTL is how many hops an event begins with.
const FullTTL = 255

// Integer is an extension's value; ok is false if it is not there or is no integer of 32 bits, as a number or in digits.
func Integer(e *event.Event, name string) (n int32, ok bool) {
	value, has := e.Extensions()[name]
	if !has {
		return 0, false
	}
	n, err := types.ToInteger(value)
	return n, err == nil
}

// Text is an extension's value as text; ok is false if it is not there.
func Text(e *event.Event, name string) (text string, ok bool) {
	value, has := e.Extensions()[name]
	if !has {
		return "", false
	}
	text, err := types.Format(value)
	return text, err == nil
}

// Hops is how often an event may still enter a Broker, at least 0. given is false if it does not say: then it has all of them.
func Hops(e *event.Event) (left int32, given bool) {
	n, ok := Integer(e, TTL)
	if !ok {
		return FullTTL, false
	}
	return max(n, 0), true
}
