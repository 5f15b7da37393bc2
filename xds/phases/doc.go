// Package phases times cold starts: when a revision at zero was asked for, and when each step to its first answer was done.
//
// In: what the hold, the autoscaler, the store and the gateways' ledgers report as it happens. Out: one log line, one row of
// a histogram for each phase, and one Wake to look at, for each cold start.
//
// Hard rule: nothing waits for it. Every method takes one short lock and returns; nothing decides by what is recorded here.
package phases
