// Package sinks names what the versions of sinks.knative.dev share.
//
// In: nothing. Out: names. Hard rule: they are Knative's.
package sinks

// GroupName is the API group.
const GroupName = "sinks.knative.dev"
