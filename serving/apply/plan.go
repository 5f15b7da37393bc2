package apply

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Plan is what a decision wants done. The zero value is nothing.
type Plan struct {
	// Create are new objects. They do not depend on each other and are created side by side.
	Create []client.Object
	// Update are objects to change.
	Update []Update
	// Delete are objects to delete. One that has been replaced meanwhile is left alone.
	Delete []client.Object
}

// Update is an object as it was read and as it should be. Only the difference is sent, so what others own is not touched.
type Update struct {
	From, To client.Object
	// Exclusive refuses the change if the object is not what it was, for fields that others write too.
	Exclusive bool
}

// Event is something to tell of an object.
type Event struct {
	// Warning tells of a failure.
	Warning bool
	// Reason is a word in CamelCase, Message a sentence.
	Reason, Message string
	// Related is what it happened to besides the object it is told of; nil if there is nothing. Events that differ in nothing else are
	// told as one.
	Related client.Object `json:"-"`
}

// about returns e about a child.
func (e Event) about(child client.Object) Event {
	e.Related = child
	return e
}

func (e Event) kind() string {
	if e.Warning {
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeNormal
}

// Normal is an event that tells of no failure.
func Normal(reason, message string) Event { return Event{Reason: reason, Message: message} }

// Warning is an event that tells of a failure.
func Warning(reason, message string) Event {
	return Event{Warning: true, Reason: reason, Message: message}
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool {
	return len(p.Create)+len(p.Update)+len(p.Delete) == 0
}

// OwnerOf returns the reference by which an object of that kind controls its children.
func OwnerOf(object client.Object, kind schema.GroupVersionKind) []metav1.OwnerReference {
	return []metav1.OwnerReference{*metav1.NewControllerRef(object, kind)}
}
