// Package decide says what a subscriber's answer means, when to try again, and what an event looks like that goes on from there.
//
// In: an answer, a Delivery, how many attempts were made, the time, a random number. Out: delivered, try again at that time, or given up;
// a dead letter; a reply with what is left of its hops.
//
// Hard rule: no I/O, no clock, no randomness of its own. An event that was passed in is never changed.
package decide
