// Package timed is what a PingSource and the guide's CronJobSource mean.
//
// In: the two kinds, and what their sinks resolve to. Out: jobs for the schedule's runner, and statuses.
//
// Hard rule: what an event looks like follows from the spec alone, so that a restart sends the same event at the same time.
package timed
