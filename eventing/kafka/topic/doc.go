// Package topic makes topics of Kafka, or finds those that are there.
//
// In: what a topic is to be like. Out: how many partitions it has.
//
// Hard rule: a topic that is there is left as it is.
package topic
