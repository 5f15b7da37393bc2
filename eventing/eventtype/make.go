package eventtype

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing/defaulting"
	eventingv1beta3 "ebb.dev/ebb/crds/eventing/v1beta3"
)

// description is that of every EventType made here, as Knative's.
const description = "Event Type auto-created by controller"

// Seen is what is told of an event.
type Seen struct{ Type, Source, Schema string }

// seenOf is what is told of an event.
func seenOf(e *event.Event) Seen { return Seen{e.Type(), e.Source(), e.DataSchema()} }

// no is everything that a name may not have.
var no = regexp.MustCompile(`[^a-z0-9.-]+`)

// longest is that of an object's name.
const longest = 253

// nameAt is the name of the EventType of what is seen at a Broker or channel, as Knative's.
func nameAt(at duck.KReference, s Seen) string {
	sum := md5.Sum([]byte(s.Type + s.Source + at.Namespace + at.Name)) // tells names apart, hides nothing
	name := no.ReplaceAllString(strings.ToLower("et-"+at.Name), "")
	hash := "-" + hex.EncodeToString(sum[:])
	return name[:min(len(name), longest-len(hash))] + hash
}

// nameFrom is the name of the EventType of what a source says it sends.
func nameFrom(source metav1.Object, s Seen) string {
	sum := sha256.Sum256([]byte(s.Type + "\x00" + s.Source + "\x00" + string(source.GetUID())))
	return fmt.Sprintf("et-%x", sum[:16])
}

// made is an EventType, complete as admission would make it.
func made(name, namespace string, at *duck.KReference, owner metav1.OwnerReference, s Seen) *eventingv1beta3.EventType {
	e := &eventingv1beta3.EventType{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, OwnerReferences: []metav1.OwnerReference{owner}},
		Spec: eventingv1beta3.EventTypeSpec{
			Reference: at, Description: description,
			Attributes: []eventingv1beta3.EventAttributeDefinition{
				{Name: "type", Required: true, Value: s.Type}, {Name: "source", Required: true, Value: s.Source},
			},
		},
	}
	if s.Schema != "" {
		e.Spec.Attributes = append(e.Spec.Attributes, eventingv1beta3.EventAttributeDefinition{Name: "dataschema", Value: s.Schema})
	}
	e.Spec.Attributes = append(e.Spec.Attributes,
		eventingv1beta3.EventAttributeDefinition{Name: "specversion", Required: true, Value: event.CloudEventsVersionV1},
		eventingv1beta3.EventAttributeDefinition{Name: "id", Required: true})
	defaulting.EventType(e, nil, defaulting.Input{})
	return e
}

// ownedBy is a reference to an owner that does not hold up its deletion.
func ownedBy(kind duck.KReference, owner metav1.Object, controller bool) metav1.OwnerReference {
	r := metav1.OwnerReference{APIVersion: kind.APIVersion, Kind: kind.Kind, Name: owner.GetName(), UID: owner.GetUID()}
	if controller {
		r.Controller = ptr.To(true)
	}
	return r
}
