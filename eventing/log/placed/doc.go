// Package placed is one event log made of several: the default one, and one for each Kafka cluster that a stream is placed in.
//
// In: which streams are in which topic of which cluster; everything that a log is asked. Out: the same from the log that has the stream.
//
// Hard rule: a stream is in one log. A cluster that cannot be reached holds up its own streams and nobody else's.
package placed
