// Package status writes what was decided about an object into its status.
//
// In: an object as it was read, and the status that it is to have. Out: one write to the API, or none.
//
// Hard rule: a status that says nothing new is not written, so that a second look at something settled writes nothing.
package status
