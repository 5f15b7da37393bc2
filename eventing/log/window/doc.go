// Package window remembers the events that were stored within a window of time, so that one that comes again is told apart from a new one.
//
// In: an event's identity, its position and when it was stored, in the order of their times. Out: the position of one that is known.
//
// Hard rule: what it keeps has no pointers. A busy stream has a million events within its window, which the collector would look through
// several times a second otherwise.
package window
