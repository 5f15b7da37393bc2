package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sourcesv1 "ebb.dev/ebb/crds/sources/v1"
)

// KafkaSource sends an event for each record of Kafka topics.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,eventing,sources}
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.consumers,statuspath=.status.consumers,selectorpath=.status.selector
// +kubebuilder:printcolumn:name=Topics,type=string,JSONPath=`.spec.topics`
// +kubebuilder:printcolumn:name=BootstrapServers,type=string,JSONPath=`.spec.bootstrapServers`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:metadata:labels={"duck.knative.dev/source=true","eventing.knative.dev/source=true"}
type KafkaSource struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec sourcesv1.KafkaSourceSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status sourcesv1.KafkaSourceStatus `json:"status,omitempty,omitzero"`
}

// KafkaSourceList is a list of KafkaSources.
//
// +kubebuilder:object:root=true
type KafkaSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []KafkaSource `json:"items"`
}
