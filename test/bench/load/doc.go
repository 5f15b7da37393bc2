// Package load sends HTTP/1.1 requests over kept connections and times the answers.
//
// In: an address, a request or the kind of event that each request carries one of, connections, and either a rate or none.
// Out: a histogram of latencies, and errors.
//
// With a rate the generator is open: each request has a time at which it should begin, its latency counts from that time,
// and a slow answer makes the following ones late instead of fewer. Without, each connection asks again when it is
// answered: that finds the most requests per second.
//
// Hard rule: it runs in a process of its own, so that its work is not counted as that of what it measures.
package load
