// Package change measures how long a change of configuration takes to be in force.
//
// In: a testbed. Out: a section: from the accepted write of a Service's traffic until every later request follows it.
//
// Hard rule: what counts is what a client sees, not what anybody acknowledges.
package change
