package apiserver

import (
	"fmt"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"ebb.dev/ebb/crds/duck"
	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
	"ebb.dev/ebb/eventing/filter"
)

// Verb is what happened to an object.
type Verb string

// What may happen to an object.
const (
	Add    Verb = "add"
	Update Verb = "update"
	Delete Verb = "delete"
)

// The types of events are these and a verb.
const (
	resourceType  = "dev.knative.apiserver.resource."
	referenceType = "dev.knative.apiserver.ref."
)

// orderExtension keeps the events about one object in order, here and at a sink that heeds it.
const orderExtension = "partitionkey"

// Change is something that happened to an object.
type Change struct {
	Verb     Verb
	Kind     schema.GroupVersionKind
	Resource schema.GroupVersionResource
	// Object is whole, as JSON encodes it, if the source tells of whole objects. It is not changed.
	Object metav1.Object
}

// telling is how a source tells of changes. It is not changed once it is made.
type telling struct {
	// source makes the ids of one source's events differ from another's.
	source types.UID
	// host is the API server.
	host string
	// whole tells of whole objects rather than of references.
	whole      bool
	owner      *sourcesv1.APIVersionKind
	filter     filter.Filter
	extensions map[string]string
}

// typeOf is the type of events about a verb.
func typeOf(whole bool, verb Verb) string {
	if whole {
		return resourceType + string(verb)
	}
	return referenceType + string(verb)
}

// attributes are those of all events that a source may send.
func attributes(whole bool, host string) []duck.CloudEventAttributes {
	out := make([]duck.CloudEventAttributes, 0, 3)
	for _, verb := range []Verb{Add, Delete, Update} {
		out = append(out, duck.CloudEventAttributes{Type: typeOf(whole, verb), Source: host})
	}
	return out
}

// event is what a source says of a change at a time; nil if it says nothing. The same change has the same id however often it is seen.
func (t *telling) event(c Change, at time.Time) (*event.Event, error) {
	if !t.owned(c.Object) {
		return nil, nil
	}
	e := event.New()
	e.SetID(strings.Join([]string{string(t.source), string(c.Object.GetUID()), c.Object.GetResourceVersion(), string(c.Verb)}, "."))
	e.SetType(typeOf(t.whole, c.Verb))
	e.SetSource(t.host)
	e.SetSubject(subject(c))
	e.SetTime(at)
	for name, value := range map[string]string{
		"apiversion": c.Kind.GroupVersion().String(), "kind": c.Kind.Kind, "name": c.Object.GetName(), "namespace": c.Object.GetNamespace(),
		orderExtension: string(c.Object.GetUID()),
	} {
		if value != "" {
			e.SetExtension(name, value)
		}
	}
	for name, value := range t.extensions {
		e.SetExtension(name, value)
	}
	var data any = c.Object
	if !t.whole {
		data = corev1.ObjectReference{
			APIVersion: c.Kind.GroupVersion().String(), Kind: c.Kind.Kind, Name: c.Object.GetName(), Namespace: c.Object.GetNamespace(),
		}
	}
	if err := e.SetData(event.ApplicationJSON, data); err != nil {
		return nil, fmt.Errorf("%s %s/%s as JSON: %w", c.Kind.Kind, c.Object.GetNamespace(), c.Object.GetName(), err)
	}
	if t.filter != nil && !t.filter.Pass(&e) {
		return nil, nil
	}
	return &e, nil
}

// owned reports whether an object is controlled by what the source asks for.
func (t *telling) owned(o metav1.Object) bool {
	if t.owner == nil {
		return true
	}
	controller := metav1.GetControllerOf(o)
	return controller != nil && controller.Kind == t.owner.Kind && controller.APIVersion == t.owner.APIVersion
}

// subject is the object's place in the API.
func subject(c Change) string {
	place := "/apis/" + c.Kind.GroupVersion().String()
	if namespace := c.Object.GetNamespace(); namespace != "" {
		place += "/namespaces/" + namespace
	}
	return place + "/" + c.Resource.Resource + "/" + c.Object.GetName()
}
