package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// ContainerSource runs containers that send events.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,sources}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Sink,type=string,JSONPath=`.status.sinkUri`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/source=true","eventing.knative.dev/source=true"}
type ContainerSource struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec ContainerSourceSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status ContainerSourceStatus `json:"status,omitempty,omitzero"`
}

// ContainerSourceSpec is what runs, and where it sends to.
type ContainerSourceSpec struct {
	duck.SourceSpec `json:",inline"`

	// Template describes the pods that will be created.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Template corev1.PodTemplateSpec `json:"template"`
}

// ContainerSourceStatus is what is known about a ContainerSource.
type ContainerSourceStatus struct {
	duck.SourceStatus `json:",inline"`
}

// ContainerSourceList is a list of ContainerSources.
//
// +kubebuilder:object:root=true
type ContainerSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []ContainerSource `json:"items"`
}

const (
	// ContainerSourceConditionReady follows the others.
	ContainerSourceConditionReady = conditions.Ready
	// ContainerSourceConditionSinkBindingReady is True when its pods are told the sink.
	ContainerSourceConditionSinkBindingReady conditions.Type = "SinkBindingReady"
	// ContainerSourceConditionReceiveAdapterReady is True when its pods run.
	ContainerSourceConditionReceiveAdapterReady conditions.Type = "ReceiveAdapterReady"
)

var containerSourceConditions = conditions.Living(
	ContainerSourceConditionSinkBindingReady,
	ContainerSourceConditionReceiveAdapterReady,
)

// IsReady reports whether the ContainerSource's latest spec is in effect.
func (c *ContainerSource) IsReady() bool {
	return c.Status.ObservedGeneration == c.Generation && c.Status.GetCondition(ContainerSourceConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *ContainerSourceStatus) Mark(now metav1.Time) conditions.Manager {
	return containerSourceConditions.Manage(&s.Status, now)
}
