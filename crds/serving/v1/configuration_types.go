package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
)

// Configuration represents the "floating HEAD" of a linear history of Revisions. Users create new Revisions by updating its spec.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,serving},shortName={config,cfg}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=LatestCreated,type=string,JSONPath=`.status.latestCreatedRevisionName`
// +kubebuilder:printcolumn:name=LatestReady,type=string,JSONPath=`.status.latestReadyRevisionName`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/podspecable=true"}
type Configuration struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec ConfigurationSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status ConfigurationStatus `json:"status,omitempty,omitzero"`
}

// ConfigurationSpec is what the next Revision shall be.
type ConfigurationSpec struct {
	// Template holds the latest specification for the Revision to be stamped out.
	// +optional
	Template RevisionTemplateSpec `json:"template"`
}

// ConfigurationStatusFields is the part of a Configuration's status that a Service shows too.
type ConfigurationStatusFields struct {
	// LatestReadyRevisionName is the latest Revision stamped out from this Configuration that has become Ready.
	// +optional
	LatestReadyRevisionName string `json:"latestReadyRevisionName,omitempty"`

	// LatestCreatedRevisionName is the last Revision that was created from this Configuration. It might not be ready yet.
	// +optional
	LatestCreatedRevisionName string `json:"latestCreatedRevisionName,omitempty"`
}

// ConfigurationStatus is what is known about a Configuration.
type ConfigurationStatus struct {
	conditions.Status `json:",inline"`

	ConfigurationStatusFields `json:",inline"`
}

// ConfigurationList is a list of Configurations.
//
// +kubebuilder:object:root=true
type ConfigurationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Configuration `json:"items"`
}

// ConfigurationConditionReady is True when the latest created Revision is ready.
const ConfigurationConditionReady = conditions.Ready
