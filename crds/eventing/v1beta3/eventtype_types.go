package v1beta3

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// EventType represents a type of event that can be consumed from a Broker or another resource.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,eventing}
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name=Type,type=string,JSONPath=`.spec.attributes[?(@.name=='type')].value`
// +kubebuilder:printcolumn:name=Source,type=string,JSONPath=`.spec.attributes[?(@.name=='source')].value`
// +kubebuilder:printcolumn:name="Reference Name",type=string,JSONPath=`.spec.reference.name`
// +kubebuilder:printcolumn:name="Reference Kind",type=string,JSONPath=`.spec.reference.kind`
// +kubebuilder:printcolumn:name=Description,type=string,JSONPath=`.spec.description`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
type EventType struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec EventTypeSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status EventTypeStatus `json:"status,omitempty,omitzero"`
}

// EventTypeSpec describes events. Both versions of EventType are stored as the same object: admission keeps what one version says
// and what the other says of it in step, so that each reads whole without a conversion.
type EventTypeSpec struct {
	// Reference is a reference to the belonging addressable. For example, this could be a pointer to a Broker.
	// +optional
	Reference *duck.KReference `json:"reference,omitempty"`

	// Description is an optional field used to describe the EventType, in any meaningful way.
	// +optional
	Description string `json:"description,omitempty"`

	// Attributes is an array of CloudEvent attributes and extension attributes. In version v1beta3 it is what counts.
	// +optional
	Attributes []EventAttributeDefinition `json:"attributes,omitempty"`

	// Type is the CloudEvents type. In version v1beta2 it is what counts, in v1beta3 it follows the attribute type.
	// +optional
	Type string `json:"type,omitempty"`

	// Source is a URI, it represents the CloudEvents source. In version v1beta2 it is what counts, in v1beta3 it follows the attribute.
	// +optional
	Source *string `json:"source,omitempty"`

	// Schema is a URI, it represents the CloudEvents dataschema. In version v1beta2 it is what counts, in v1beta3 it follows the attribute.
	// +optional
	Schema *string `json:"schema,omitempty"`

	// SchemaData allows the CloudEvents schema to be stored directly in the EventType. Version v1beta2 has it.
	// +optional
	SchemaData string `json:"schemaData,omitempty"`

	// Broker refers to the Broker that can provide the EventType. Version v1beta2 has it; deprecated, use Reference.
	// +optional
	Broker string `json:"broker,omitempty"`
}

// EventAttributeDefinition describes one attribute.
type EventAttributeDefinition struct {
	// Name is the name of the CloudEvents attribute.
	Name string `json:"name"`

	// Required determines whether this attribute must be set on corresponding CloudEvents.
	Required bool `json:"required"`

	// Value is a string representing the allowable values for the EventType attribute. It may be a single value such as
	// "/apis/v1/namespaces/default/pingsource/ps", or it could be a template for the allowed values, such as
	// "/apis/v1/namespaces/{namespace}/pingsource/{sourceName}".
	// +optional
	Value string `json:"value,omitempty"`
}

// EventTypeStatus is what is known about an EventType.
type EventTypeStatus struct {
	conditions.Status `json:",inline"`
}

// EventTypeList is a list of EventTypes.
//
// +kubebuilder:object:root=true
type EventTypeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []EventType `json:"items"`
}

const (
	// EventTypeConditionReady follows the others.
	EventTypeConditionReady = conditions.Ready
	// EventTypeConditionReferenceExists is True when what spec.reference names is there, or it names nothing.
	EventTypeConditionReferenceExists conditions.Type = "ReferenceExists"
)

var eventTypeConditions = conditions.Living(
	EventTypeConditionReferenceExists,
)

// IsReady reports whether the EventType's latest spec is in effect.
func (e *EventType) IsReady() bool {
	return e.Status.ObservedGeneration == e.Generation && e.Status.GetCondition(EventTypeConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *EventTypeStatus) Mark(now metav1.Time) conditions.Manager {
	return eventTypeConditions.Manage(&s.Status, now)
}
