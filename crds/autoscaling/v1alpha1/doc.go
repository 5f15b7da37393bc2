// Package v1alpha1 is the PodAutoscaler: one for each revision, saying what to scale and how far it has come.
//
// In: what the revision reconciler writes (the scale target, reachability, containerConcurrency, the template's annotations).
// Out: the conditions and counts that the autoscaler reports back.
//
// Hard rule: the wire format is Knative's, field by field; what is generated is not edited here.
//
// +kubebuilder:object:generate=true
// +groupName=autoscaling.internal.knative.dev
package v1alpha1
