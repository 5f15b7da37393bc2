// Package messaging names what the versions of messaging.knative.dev share.
//
// In: nothing. Out: names. Hard rule: they are Knative's.
package messaging

// GroupName is the API group.
const GroupName = "messaging.knative.dev"
