// Package send carries one event to one destination over HTTP, once.
//
// In: an event, a destination, whether its answer may be an event, how long it may take. Out: the final status, the event that came back,
// what the answer said in short.
//
// Hard rule: one call is at most one request. Nothing here retries, follows a redirect or remembers an event; what an answer means is for the
// caller to say.
package send
