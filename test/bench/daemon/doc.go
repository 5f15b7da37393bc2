// Package daemon runs the peers that Ebb is compared with as programs of their own. It takes a program and where its words go, and gives its pid
// and its end.
//
// Hard rule: each has a session of its own, as a service of a machine has and as each component of `ebb up` has. Linux gives each session its own
// share of the processors (autogroups, sched(7)): a peer in the session of the load's generator is preempted less.
package daemon
