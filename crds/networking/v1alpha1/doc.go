// Package v1alpha1 holds Ingress of networking.internal.knative.dev/v1alpha1, called KIngress in docs: the hosts, paths and splits
// that a Route asks of the gateways.
//
// In: what the Route reconciler writes and what the gateways answer. Out: Go types that are Knative's on the wire, their defaults,
// their validation, and the marks on their status.
//
// Hard rule: a field's name, place and meaning are Knative's, so that its conformance suite and other ingress layers understand them.
//
// +kubebuilder:object:generate=true
// +groupName=networking.internal.knative.dev
package v1alpha1
