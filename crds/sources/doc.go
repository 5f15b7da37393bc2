// Package sources names what the versions of sources.knative.dev share.
//
// In: nothing. Out: names. Hard rule: they are Knative's.
package sources

// GroupName is the API group.
const GroupName = "sources.knative.dev"
