// Package processes reads what Linux says of processes: their descendants, memory and processor time.
//
// In: pids. Out: trees, proportional set sizes, seconds.
//
// Hard rule: it only looks.
package processes
