// Package jetstream is the event log on NATS JetStream: a server inside this process without a port, or one elsewhere by its URL.
//
// In: events to append, positions and states of readers to keep. Out: the same, in order, to any number of readers.
//
// Events that are appended at the same time travel as one commit: one message of the stream, one write, one sync. A commit's head says the
// position of its first event, when it was stored, and how many bytes the stream had taken before it, so that every question about
// positions, times and sizes is a binary search over messages, and nothing has to be indexed or read at the start. Readers share what is
// in memory at a stream's head, and read their own pages behind it; JetStream's consumers are not used.
//
// Hard rule: one commit of a stream is under way at a time, and says which one it follows. Two processes that write to the same stream
// cannot both succeed.
package jetstream
