// Package dispatch brings events from the log to those who read them.
//
// In: streams and readers, as the controllers know them; records of the log. Out: deliveries, replies, dead letters; where each reader is,
// kept in the log; what waits, for the autoscaler.
//
// Hard rule: an event that passed a reader's filter is delivered, dead-lettered or put on the reader's list of dead events, across any number
// of restarts; nothing that one subscriber does delays another.
//
// A stream has one follower. It reads each record once, asks the filters once, and offers the record to the readers it passes to, without ever
// waiting for one. A reader has a window (package position) of bounded size: what is to be delivered, in flight, or to be tried again. A
// reader whose window is full falls behind: the follower goes on without it, and it catches up from the log when it has room. Events are
// kept in memory within one bound for all readers; past it a reader has positions only and reads the event when it sends it.
//
// In an ordered reader an event that fails holds up its lane until it is delivered or given up, and no other lane, as long as the window has room.
//
// A crash repeats what was in flight and what was finished within the last KeepEvery, nothing else; a retry keeps its time and its count.
package dispatch
