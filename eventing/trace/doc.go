// Package trace makes spans of what happens to events, joined from their sender to their subscribers through the log.
//
// In: the trace context that a request or an event carries. Out: spans, and the context that goes on with the event.
//
// Hard rule: while tracing is off nothing is made, and asking costs a load of one pointer.
//
// The context that an event is stored with is its extension traceparent: the sender's own where it has one, which no hop changes, otherwise
// that of the span in which it was accepted. Each attempt to deliver it is a span below that one, and the subscriber gets the attempt's
// context in the header traceparent.
package trace
