// Package ingress takes events in over HTTP.
//
// In: requests for a Broker, by the path /NAMESPACE/NAME, or for a Channel, by its host; replies that the dispatcher brings back. Out: events
// in the log, and an answer: 202 once the log has them, or why it has not.
//
// Hard rule: nothing is accepted that is not stored, and nothing is held in memory without a bound; past it the answer is 503 with
// Retry-After.
package ingress
