// Package position keeps where one reader is in its stream: what it is done with, what is under way, and what is to be tried again when.
//
// In: positions that concern the reader, in order; what became of them; the time. Out: the next position to deliver, the low-water mark below
// which nothing is needed any more, and the whole in a few bytes.
//
// Hard rule: no I/O and no clock. A position that was added stays open until Done, through any number of encodings; in an ordered window, no
// position is handed out while an earlier one of its lane is open.
package position
