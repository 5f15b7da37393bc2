package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
)

// ApiServerSource sends an event for each change of objects in the Kubernetes API.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,sources}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Sink,type=string,JSONPath=`.status.sinkUri`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/source=true","eventing.knative.dev/source=true"}
// +kubebuilder:metadata:annotations={`registry.knative.dev/eventTypes=[{"type":"dev.knative.apiserver.resource.add","description":"CloudEvent type used for add operations when in Resource mode"},{"type":"dev.knative.apiserver.resource.delete","description":"CloudEvent type used for delete operations when in Resource mode"},{"type":"dev.knative.apiserver.resource.update","description":"CloudEvent type used for update operations when in Resource mode"},{"type":"dev.knative.apiserver.ref.add","description":"CloudEvent type used for add operations when in Reference mode"},{"type":"dev.knative.apiserver.ref.delete","description":"CloudEvent type used for delete operations when in Reference mode"},{"type":"dev.knative.apiserver.ref.update","description":"CloudEvent type used for update operations when in Reference mode"}]`}
type ApiServerSource struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec ApiServerSourceSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status ApiServerSourceStatus `json:"status,omitempty,omitzero"`
}

// ApiServerSourceSpec is what is watched, and how it is told.
type ApiServerSourceSpec struct {
	duck.SourceSpec `json:",inline"`

	// Resources are the resources this source will track and send related lifecycle events from the Kubernetes API server, with an
	// optional label selector to help filter.
	// +optional
	Resources []APIVersionKindSelector `json:"resources,omitempty"`

	// ResourceOwner is an additional filter to only track resources that are owned by a specific resource type. If it matches
	// Resources[n] then Resources[n] is allowed to pass.
	// +optional
	ResourceOwner *APIVersionKind `json:"owner,omitempty"`

	// EventMode controls the format of the event. Reference sends a reference to the resource under watch, Resource sends the full
	// resource. Defaults to Reference.
	// +optional
	EventMode string `json:"mode,omitempty"`

	// ServiceAccountName is the name of the ServiceAccount to use to run this source. Defaults to default if not set.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// NamespaceSelector is a label selector to capture the namespaces that should be watched by the source.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// Filters is an array of filter expressions of the CloudEvents Subscriptions API. An event is sent when it passes all of them.
	// +optional
	Filters []eventingv1.SubscriptionsAPIFilter `json:"filters,omitempty"`
}

// The modes of events.
const (
	// ReferenceMode sends references.
	ReferenceMode = "Reference"
	// ResourceMode sends whole objects.
	ResourceMode = "Resource"
)

// APIVersionKind names a kind.
type APIVersionKind struct {
	// APIVersion is the API version of the resource to watch.
	APIVersion string `json:"apiVersion"`

	// Kind of the resource to watch.
	Kind string `json:"kind"`
}

// APIVersionKindSelector names a kind, and some objects of it by their labels.
type APIVersionKindSelector struct {
	// APIVersion is the API version of the resource to watch.
	APIVersion string `json:"apiVersion"`

	// Kind of the resource to watch.
	Kind string `json:"kind"`

	// LabelSelector filters this source to objects whose labels it selects.
	// +optional
	LabelSelector *metav1.LabelSelector `json:"selector,omitempty"`
}

// ApiServerSourceStatus is what is known about a ApiServerSource.
type ApiServerSourceStatus struct {
	duck.SourceStatus `json:",inline"`

	// Namespaces show the namespaces currently watched by the ApiServerSource.
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`
}

// ApiServerSourceList is a list of ApiServerSources.
//
// +kubebuilder:object:root=true
type ApiServerSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []ApiServerSource `json:"items"`
}

const (
	// ApiServerSourceConditionReady follows the others.
	ApiServerSourceConditionReady = conditions.Ready
	// ApiServerSourceConditionSinkProvided is True when the sink has a URI.
	ApiServerSourceConditionSinkProvided conditions.Type = "SinkProvided"
	// ApiServerSourceConditionDeployed is True when it watches.
	ApiServerSourceConditionDeployed conditions.Type = "Deployed"
	// ApiServerSourceConditionSufficientPermissions is True when its service account may watch what it names.
	ApiServerSourceConditionSufficientPermissions conditions.Type = "SufficientPermissions"
	// ApiServerSourceConditionOIDCIdentityCreated is True when there is a service account to send events as, or none is needed.
	ApiServerSourceConditionOIDCIdentityCreated conditions.Type = "OIDCIdentityCreated"
)

var apiServerSourceConditions = conditions.Living(
	ApiServerSourceConditionSinkProvided,
	ApiServerSourceConditionDeployed,
	ApiServerSourceConditionSufficientPermissions,
	ApiServerSourceConditionOIDCIdentityCreated,
)

// IsReady reports whether the ApiServerSource's latest spec is in effect.
func (a *ApiServerSource) IsReady() bool {
	return a.Status.ObservedGeneration == a.Generation && a.Status.GetCondition(ApiServerSourceConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *ApiServerSourceStatus) Mark(now metav1.Time) conditions.Manager {
	return apiServerSourceConditions.Manage(&s.Status, now)
}
