package v1beta2

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	eventingv1beta3 "ebb.dev/ebb/crds/eventing/v1beta3"
)

// EventType represents a type of event that can be consumed from a Broker or another resource.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,eventing}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Type,type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name=Source,type=string,JSONPath=`.spec.source`
// +kubebuilder:printcolumn:name=Schema,type=string,JSONPath=`.spec.schema`
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
	Spec eventingv1beta3.EventTypeSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status eventingv1beta3.EventTypeStatus `json:"status,omitempty,omitzero"`
}

// EventTypeList is a list of EventTypes.
//
// +kubebuilder:object:root=true
type EventTypeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []EventType `json:"items"`
}
