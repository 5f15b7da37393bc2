// Package xds is the room in which Envoys are told what to do; this file's package puts its parts together.
//
// In: what build makes of API objects (written to Store), pods' readiness and load from the proxies themselves. Out:
// configured gateways and replica proxies, held requests, identities, and measurements for the autoscaler.
//
//	Store ── changes ──> plan.Gateways, plan.Replicas ── rows ──> cache ── delta ADS ──> Envoy
//	                          ^                                      │
//	                          └────────────── the ACK ledger ────────┘
//
// Hard rule: nothing in this room writes to the Kubernetes API, and only xds/watch reads it.
package xds
