// Package broker is what a Broker and a Trigger mean.
//
// In: Brokers and Triggers, what their destinations resolve to, the state of what they depend on. Out: streams for the log, readers for the
// dispatcher, routes for Envoy, and statuses.
//
// Hard rule: Decide functions are pure. A Trigger that cannot be served keeps its position: its reader is there, without a subscriber, for
// as long as its Broker is.
package broker
