// Package journal keeps requests that are answered later in a stream of the event log.
//
// In: records, and the headers and bodies of requests and answers. Out: all that is still wanted, after a restart too.
//
// Every step is an event with the whole record; one also has the request, another the answer. Where the parts of a request lie is kept in
// memory. What is wanted of the oldest events is appended again when most of the stream is not wanted any more, so that one request that
// waits for days does not keep what came after it.
//
// Hard rule: what a function here returned without an error is found again by Open, unless it was forgotten.
package journal
