// Package kafka is KafkaSinks: events that are sent to one become records of its topic.
//
// In: KafkaSinks, the Secrets that they name, requests with events. Out: records as the Kafka protocol binding of CloudEvents says, in binary
// or structured mode, whose key is the extension partitionkey.
//
// Hard rule: 202 means that all replicas in sync have the event.
package kafka
