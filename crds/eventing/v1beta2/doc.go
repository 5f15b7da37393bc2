// Package v1beta2 holds the kinds of eventing.knative.dev/v1beta2: EventType.
//
// In: what users write and what reconcilers find out. Out: Go types that are Knative's on the wire, and for each kind the set of
// conditions that its Ready follows from.
//
// Hard rule: a field's name, place and meaning are Knative's.
//
// +kubebuilder:object:generate=true
// +groupName=eventing.knative.dev
package v1beta2
