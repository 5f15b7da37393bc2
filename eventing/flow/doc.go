// Package flow is what channels and what is built of them mean: InMemoryChannel, NatsJetStreamChannel, KafkaChannel, Channel,
// Subscription, Sequence and Parallel.
//
// In: those objects, what their destinations resolve to, how the objects they are made of are. Out: streams for the log, readers for the
// dispatcher, routes for Envoy, children in the API, and statuses.
//
// Hard rule: Decide functions and those that say what children there are to be are pure. A Subscription that cannot be served keeps its
// position: its reader is there, without a subscriber, for as long as its channel is. An object of a child's name that is not ours is left
// alone and told.
package flow
