// Package burst measures many requests at once to a service at zero, against the ideal schedule.
//
// In: a testbed. Out: a section: how long until the last answer, how many replicas, how many errors.
//
// The ideal schedule has as many replicas as Ebb used, started by one scale patch of a plain Deployment with the same pod.
// Each takes containerConcurrency requests at a time as soon as its port accepts, at no cost of routing.
//
// Hard rule: every request counts; one that fails is an error of the burst.
package burst
