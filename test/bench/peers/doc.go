// Package peers has what the event broker is compared with, each in a process of its own.
//
// In: where to store or to listen, and how much is asked. Out: what JetStream and Kafka take by themselves; a handler that stores
// nothing; a consumer that empties a topic into a subscriber.
//
// Hard rule: a peer does as little as can be done in its place, so that a ratio to it is never kinder than the truth.
package peers
