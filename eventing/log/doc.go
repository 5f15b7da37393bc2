// Package log keeps what was accepted until everybody has read it, durably and in order.
//
// In: events, appended to a stream; positions and schedules of readers. Out: records in the order of their positions, to any number of
// readers, from any position that is kept.
//
// Hard rule: Append returns without an error only once the event would survive a crash of the machine (durable mode) or of the process
// (relaxed mode), and what somebody has not read yet is never dropped to make room.
package log
