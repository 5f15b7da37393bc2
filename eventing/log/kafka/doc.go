// Package kafka is the event log on Apache Kafka: a stream is a topic, an event a record in CloudEvents' binary mode.
//
// In: events to append, positions and states of readers to keep. Out: the same, in the order of each partition, to any number of readers.
//
// A position is an offset and one: it grows within a partition, and there is none for a whole topic. So each partition is a stream of its
// own, ID#3 for partition 3 of ID, and that is what readers follow; a topic of one partition can be followed under ID as well. What is
// appended to ID goes to the partition that Kafka's own clients would choose for the extension partitionkey, or, without one, to that
// of its source and id, so that an event that is sent again comes to the same place.
//
// States of readers are records of one compacted topic, which is read when the log is opened. The plain positions are committed to consumer
// groups besides, so that Kafka's tools show who lags; nothing is read back from them but where a reader begins that has no state.
//
// Who opens a log keeps its owner's states from then on: an older log of that owner, in another process, sees it in that topic, and ends with
// ErrTaken. Streams and topics are known to be an owner's (Owned), so that what deleted objects left can be dropped.
//
// What Kafka does not give: a stream is never full, and retention is the topic's, whether or not somebody has still to read
// (retention.ms; by default Kafka's seven days). Duplicates are found among what this process appended or finds in the topic when it
// starts, within the window; another producer that writes the same source and id at the same time is not.
// Records that others wrote and that are no CloudEvents are passed over, counted and logged.
//
// Hard rule: Append returns without an error only once all replicas in sync have the event, and one that fails says whether trying again
// may store it twice.
package kafka
