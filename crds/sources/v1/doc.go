// Package v1 holds the kinds of sources.knative.dev/v1: PingSource, CronJobSource, ApiServerSource, ContainerSource, SinkBinding and KafkaSource.
//
// In: what users write and what reconcilers find out. Out: Go types that are Knative's on the wire, and for each kind the set of
// conditions that its Ready follows from.
//
// Hard rule: a field's name, place and meaning are Knative's.
//
// +kubebuilder:object:generate=true
// +groupName=sources.knative.dev
package v1
