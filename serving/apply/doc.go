// Package apply brings about what a decision asks for.
//
// In: a Plan, which is plain objects to create, change and delete. Out: the API server's state, and events that tell of it.
//
// Hard rule: nothing is decided here. Applying a plan again is safe: what exists already is found out and left to the next decision.
package apply
