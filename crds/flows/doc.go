// Package flows names what the versions of flows.knative.dev share.
//
// In: nothing. Out: names. Hard rule: they are Knative's.
package flows

// GroupName is the API group.
const GroupName = "flows.knative.dev"
