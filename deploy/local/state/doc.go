// Package state is the folder of one `ebb up`: where things are, who holds it, and which processes it started.
//
// In: a path (by default ~/.ebb). Out: the paths of everything below it, a lock that only one supervisor holds, the persisted choices of the
// instance, and one record per process.
//
// Hard rule: a process is known by its pid, its start time and the boot it belongs to, never by the pid alone. Nothing is ever signalled
// that these do not identify.
package state
