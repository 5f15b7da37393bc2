// Package v1 holds the kinds of serving.knative.dev/v1: Service, Configuration, Revision and Route.
//
// In: what users write and what reconcilers find out. Out: Go types that are Knative's on the wire, and the marks by which
// a reconciler states a condition with the reason and message that Knative's tools and documentation name.
//
// Hard rule: a field's name, place and meaning are Knative's. What Ebb adds lives in its own group.
//
// +kubebuilder:object:generate=true
// +groupName=serving.knative.dev
package v1
