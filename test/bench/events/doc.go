// Package events measures the event broker: what it accepts, how soon it delivers, what it wakes, what its Triggers cost.
//
// In: a testbed of the light node. Out: a section.
//
//	accept     events accepted through the gateway, against raw publishes to JetStream and a handler that stores nothing
//	delivery   from a client's sending to a subscriber's receipt, beside the same without a broker
//	wake       from an event's storing to the receipt by a service that was at zero, against the same pod started bare
//	alone      filters and idle Triggers by themselves, in a process of their own
//	async      requests that are answered later
//	kafka      Brokers of class Kafka
//	backlog    what waits in Kafka, drained by KafkaSources and by a Trigger, beside a consumer that does nothing else: a section of its own
//
// Accepts, deliveries and requests that are answered later are measured on a durable platform and, after a restart, on a relaxed one.
//
// Hard rule: a latency is between two readings of one clock, the sender's and the app's own; every event that was accepted is waited
// for, and one that does not come is an error.
package events
