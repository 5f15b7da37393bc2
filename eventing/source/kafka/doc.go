// Package kafka is KafkaSources: what others write to topics of Kafka goes to a sink as events.
//
// In: KafkaSources, the Secrets that they name, records. Out: events at their sinks; what a sink refuses for good, at the dead letter sink;
// offsets committed to the source's consumer group.
//
// A source is as many members of its group as it has consumers, and Kafka shares out the partitions among them and whoever else joins. Where
// a new group begins is committed before the first of them joins, so that a restart in between passes nothing over. Records that are
// CloudEvents go as they are; of others an event is made as Knative makes it.
//
// Hard rule: an offset is committed only when everything before it was delivered, dead-lettered or given up after its last retry.
package kafka
