// Package filter decides which events a reader gets.
//
// In: the filters of Triggers, as users write them; an event. Out: whether it passes; for a thousand filters, which of them it passes.
//
// Hard rule: no I/O and no clock. A filter is compiled once and refused then if it is wrong; afterwards it answers for every event, and an
// expression that fails on an event does not pass it.
package filter
