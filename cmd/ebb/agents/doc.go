// Package agents wires the processes that stand beside Envoys: `ebb gateway` and `ebb node`.
//
// In: options. Out: an agent with its secrets, the Envoys it runs, and on a node: early word of pods, and drains.
//
// Hard rule: nothing is decided here; these processes carry keys, start Envoys and pass on what they see.
package agents
