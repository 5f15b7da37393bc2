// Package warmpath measures requests to a service that runs, against plain Envoys in front of the same pod.
//
// In: a testbed, the Envoy binary. Out: a section: latencies at a fixed rate, requests per second at saturation, processor
// time for each request.
//
// The subjects are the pod itself; one static Envoy; a static gateway and a static sidecar with mTLS between them, both
// written by hand, with as many workers as Ebb's and, like them, with a session of their own; and Ebb. All end at the
// same pod; but a static sidecar, where Ebb's is in its pod, is in one like it, for what a container has to bear is none
// of Ebb's. Every few rounds all Envoys are started anew.
//
// Hard rule: all subjects are measured in each round, in an order that turns, and compared within the round.
package warmpath
