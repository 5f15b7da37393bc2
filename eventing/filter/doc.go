// Package filter decides which events a reader gets.
//
// In: the filters of Triggers, as users write them; an event. Out: whether it passes; for a thousand filters, which of them it passes.
//
// Hard rule: no I/O and no clock. A filter is compiled once and refused then if it is wrong; afterwards it answers for every event, and an
// expression that fails on an event does not pass it.
//
// The dialects are those of the CloudEvents Subscriptions API, the older attributes filter is Knative's: an empty value passes any event that
// has the attribute, and not one without it. Two things differ from Knative's broker. What it skips with a warning, a filter with an empty
// value or with a mistake, is an error here. And attributes are compared by their canonical text, so that the extension 5 is "5" in the older
// filter too, and an event without a time has none.
//
// Package attribute reads events, package cesql is the expression language; a Set matches many filters at once.
package filter
