package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
)

// Service acts as a top-level container that manages a Route and Configuration which implement a network service.
// It is an orchestrator only, much as a Deployment is of ReplicaSets.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,serving},shortName={kservice,ksvc}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name=LatestCreated,type=string,JSONPath=`.status.latestCreatedRevisionName`
// +kubebuilder:printcolumn:name=LatestReady,type=string,JSONPath=`.status.latestReadyRevisionName`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/addressable=true","duck.knative.dev/podspecable=true"}
type Service struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec ServiceSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status ServiceStatus `json:"status,omitempty,omitzero"`
}

// ServiceSpec is the union of a Configuration's specification and a Route's.
type ServiceSpec struct {
	ConfigurationSpec `json:",inline"`

	// RouteSpec here can only refer to this Service's own revisions.
	RouteSpec `json:",inline"`
}

// ServiceStatus is what is known about a Service: its Configuration's and its Route's status, together.
type ServiceStatus struct {
	conditions.Status `json:",inline"`

	ConfigurationStatusFields `json:",inline"`

	RouteStatusFields `json:",inline"`
}

// ServiceList is a list of Services.
//
// +kubebuilder:object:root=true
type ServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Service `json:"items"`
}

const (
	// ServiceConditionReady is True when the configuration and the route are.
	ServiceConditionReady = conditions.Ready
	// ServiceConditionRoutesReady follows the Route.
	ServiceConditionRoutesReady conditions.Type = "RoutesReady"
	// ServiceConditionConfigurationsReady follows the Configuration.
	ServiceConditionConfigurationsReady conditions.Type = "ConfigurationsReady"
)
