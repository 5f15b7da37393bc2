// Package progress shows a person what `ebb up` is doing and waiting for.
//
// In: events (a step began, ended, failed). Out: on a terminal one line per finished step and a live line for what is still waited for; to
// anything else plain lines; through a pipe the events themselves, for a display in another process.
//
// Hard rule: a step that began is shown to end, one way or the other.
package progress
