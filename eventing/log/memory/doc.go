// Package memory is an event log for tests of what uses one.
//
// In: events and states. Out: the same, in order.
//
// Hard rule: it keeps every promise of the interface but that of surviving, and it drops nothing.
package memory
