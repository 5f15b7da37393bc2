// Package sweep drops from the log what was made for objects that were deleted while nobody was there to see it.
//
// In: what the log keeps, and which objects there are. Out: streams removed and readers forgotten.
//
// Hard rule: only what is certainly gone is dropped. Names of streams and readers carry the UIDs of their objects, which are never given
// twice; what is named otherwise stays, and nothing is dropped for a cluster other than the one that the log has been of.
package sweep
