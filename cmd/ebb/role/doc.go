// Package role makes commands of processes.
//
// In: what a process does until its context ends. Out: the RunE of its command: logged, and ended by a signal.
//
// Hard rule: nothing but this, and no dependencies: the sidecar's program starts with it.
package role
