// Package request says what a request that is answered later is, and what becomes of it.
//
// In: a request as it was accepted, what its attempts came back with, what its client wants now. Out: the record that follows.
//
// Hard rule: every step is a function of a record and the time it is given; nothing is changed in place, nothing here does I/O or reads a
// clock. A record that is stored says all that is needed to go on after a crash.
//
//	queued ─ Begin ─> running ─ Answered ─┬─> succeeded   an answer below 400
//	  ^  └───────── Cancel ──────┐  │     ├─> failed      an answer that no further attempt makes better
//	  │                          v  │     ├─> queued      5xx, 408, 425, 429 or none: again, later
//	  │                   cancelled │     └─> dead        the same, and no attempt is left
//	  └──── Interrupted, Again ─────┴───────────┘
package request
