// Package hpa hands revisions of class hpa.autoscaling.knative.dev to Kubernetes' own autoscaler.
//
// In: a PodAutoscaler and config-autoscaler.
// Out: the HorizontalPodAutoscaler that stands in for it.
//
// Hard rule: a pure function. The object is Knative's, field by field, so that what ran there runs here.
package hpa
