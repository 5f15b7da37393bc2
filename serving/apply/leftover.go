package apply

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Leftover reports whether child belonged to an object of owner's kind and name that was deleted before owner was made in its place.
// Kubernetes' garbage collector has not come by yet: it takes half a minute to learn of kinds that are new to it.
func Leftover(child, owner metav1.Object, kind schema.GroupVersionKind) bool {
	of := metav1.GetControllerOf(child)
	if of == nil || of.Name != owner.GetName() || of.UID == owner.GetUID() || of.Kind != kind.Kind {
		return false
	}
	group, err := schema.ParseGroupVersion(of.APIVersion)
	if err != nil || group.Group != kind.Group {
		return false
	}
	// A child younger than owner may belong to one that is younger still, which the cache has not shown yet.
	return !child.GetCreationTimestamp().After(owner.GetCreationTimestamp().Time)
}

// Clear deletes a leftover, so that its name is free for the next decision. One that is being deleted already is waited for.
func (p *Plan) Clear(leftover client.Object) {
	if leftover.GetDeletionTimestamp() == nil {
		p.Delete = append(p.Delete, leftover.DeepCopyObject().(client.Object))
	}
}
