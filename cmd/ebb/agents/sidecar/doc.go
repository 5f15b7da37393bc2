// Package sidecar is a replica's own proxy in its pod: `ebb-sidecar`, and `ebb sidecar`.
//
// In: which pod it is in, and that pod's token. Out: an Envoy that serves the replica, what the kubelet asks (GET /ready, GET /drain), and word of
// the pod to the control plane.
//
// Hard rule: it is part of every cold start: it imports what it needs for that, and nothing that knows Kubernetes or the types of Envoy's
// configuration (a test looks).
package sidecar
