// Package controlplane wires the rooms together into one process: `ebb control-plane`.
//
// In: a Kubernetes API and Options. Out: CRDs and webhooks, reconcilers, the autoscaler, xDS and the hold, served.
//
// Hard rule: nothing is decided here. What a room needs of another is handed over through the interfaces it declares; the
// world is read whole before a proxy is answered.
package controlplane
