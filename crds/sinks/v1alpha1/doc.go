// Package v1alpha1 holds the kinds of sinks.knative.dev/v1alpha1: JobSink.
//
// In: what users write and what reconcilers find out. Out: Go types that are Knative's on the wire, and for each kind the set of
// conditions that its Ready follows from.
//
// Hard rule: a field's name, place and meaning are Knative's.
//
// +kubebuilder:object:generate=true
// +groupName=sinks.knative.dev
package v1alpha1
