// Package status writes the statuses of a kind, each at its time.
//
// In: an object as it is stored, the same with the status it should have, and a Pace. Out: at most one write, and when to look again.
//
// Hard rule: what is final is written at once; what is passing is written only if it is still so after a while, and the more there is of
// it the longer the while; what is written already is not written again. So a Service that becomes ready within that while costs one
// write of each status.
package status
