package serving

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/crds/eventing"
	"ebb.dev/ebb/crds/serving"
)

// CacheByObject is what the room needs of a manager's cache, for cache.Options.ByObject: the Deployments and pods of revisions alone,
// the ConfigMaps of knative-serving alone, and of pods only what says how they fare and where they are. Another room that needs more
// of one of these kinds widens the entry.
func CacheByObject() map[client.Object]cache.ByObject {
	ofRevision, err := labels.NewRequirement(serving.RevisionLabelKey, selection.Exists, nil)
	if err != nil {
		panic("serving: " + err.Error()) // a constant
	}
	revisions := labels.NewSelector().Add(*ofRevision)
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}:        {Label: revisions, Transform: stripPod},
		&appsv1.Deployment{}: {Label: revisions, Transform: cache.TransformStripManagedFields()},
		&corev1.ConfigMap{}:  {Namespaces: map[string]cache.Config{serving.SystemNamespace: {}, eventing.SystemNamespace: {}}},
		&corev1.Namespace{}:  {Transform: cache.TransformStripManagedFields()},
	}
}

// stripPod keeps of a pod its names and labels, its node, its grace and its status.
func stripPod(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return nil, fmt.Errorf("serving: %T among the pods", o)
	}
	pod.ManagedFields, pod.Annotations = nil, nil
	pod.Spec = corev1.PodSpec{
		NodeName: pod.Spec.NodeName, ServiceAccountName: pod.Spec.ServiceAccountName,
		TerminationGracePeriodSeconds: pod.Spec.TerminationGracePeriodSeconds,
	}
	return pod, nil
}
