package service

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/serving"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
	"ebb.dev/ebb/serving/apply"
	"ebb.dev/ebb/serving/index"
)

var (
	serviceKind       = servingv1.SchemeGroupVersion.WithKind("Service")
	configurationKind = servingv1.SchemeGroupVersion.WithKind("Configuration")
)

// newConfiguration returns the Service's Configuration. have is the one that is there, nil if none: other Routes may be noted on it.
func newConfiguration(s *servingv1.Service, have *servingv1.Configuration) *servingv1.Configuration {
	routes := []string{s.Name}
	if have != nil {
		routes = append(routes, index.Routes(have)...)
	}
	slices.Sort(routes)
	annotations := without(s.Annotations, corev1.LastAppliedConfigAnnotation, serving.RolloutDurationAnnotationKey, serving.RolloutDurationAltAnnotationKey)
	// Known from the beginning, so that the first Revision is made with it and need not be changed right after.
	annotations[serving.RoutesAnnotationKey] = strings.Join(slices.Compact(routes), ",")
	labels := without(s.Labels)
	labels[serving.ServiceLabelKey] = s.Name
	labels[serving.ServiceUIDLabelKey] = string(s.UID)
	return &servingv1.Configuration{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Name, Namespace: s.Namespace, Labels: labels, Annotations: annotations,
			OwnerReferences: apply.OwnerOf(s, serviceKind),
		},
		Spec: *s.Spec.ConfigurationSpec.DeepCopy(),
	}
}

// newRoute returns the Service's Route. Traffic that names no Revision goes to the Configuration's latest one.
func newRoute(s *servingv1.Service) *servingv1.Route {
	labels := without(s.Labels)
	labels[serving.ServiceLabelKey] = s.Name
	route := &servingv1.Route{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Name, Namespace: s.Namespace, Labels: labels,
			Annotations:     without(s.Annotations, corev1.LastAppliedConfigAnnotation),
			OwnerReferences: apply.OwnerOf(s, serviceKind),
		},
		Spec: *s.Spec.RouteSpec.DeepCopy(),
	}
	for i := range route.Spec.Traffic {
		if t := &route.Spec.Traffic[i]; t.RevisionName == "" {
			t.ConfigurationName = s.Name
		}
	}
	return route
}

func without(all map[string]string, keys ...string) map[string]string {
	kept := make(map[string]string, len(all)+2)
	maps.Copy(kept, all)
	for _, key := range keys {
		delete(kept, key)
	}
	return kept
}
