package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
)

// Revision is an immutable snapshot of code and configuration. Revisions are created by updates to a Configuration.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,serving},shortName={rev}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Config Name",type=string,JSONPath=`.metadata.labels['serving\.knative\.dev/configuration']`
// +kubebuilder:printcolumn:name=Generation,type=string,JSONPath=`.metadata.labels['serving\.knative\.dev/configurationGeneration']`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:printcolumn:name="Actual Replicas",type=integer,JSONPath=`.status.actualReplicas`
// +kubebuilder:printcolumn:name="Desired Replicas",type=integer,JSONPath=`.status.desiredReplicas`
type Revision struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec RevisionSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status RevisionStatus `json:"status,omitempty,omitzero"`
}

// RevisionTemplateSpec describes the data a revision should have when created from a template.
type RevisionTemplateSpec struct {
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec RevisionSpec `json:"spec,omitempty,omitzero"`
}

// RevisionSpec holds the desired state of the Revision: part of a PodSpec and how requests meet it.
type RevisionSpec struct {
	corev1.PodSpec `json:",inline"`

	// ContainerConcurrency specifies the maximum allowed in-flight (concurrent) requests per container of the Revision.
	// Defaults to 0 which means concurrency to the application is not limited, and the system decides the target concurrency for the autoscaler.
	// +optional
	ContainerConcurrency *int64 `json:"containerConcurrency,omitempty"`

	// TimeoutSeconds is the maximum duration in seconds that the request instance is allowed to respond to a request.
	// If unspecified, a system default will be provided.
	// +optional
	TimeoutSeconds *int64 `json:"timeoutSeconds,omitempty"`

	// ResponseStartTimeoutSeconds is the maximum duration in seconds that the request routing layer will wait for a request
	// delivered to a container to begin sending any network traffic.
	// +optional
	ResponseStartTimeoutSeconds *int64 `json:"responseStartTimeoutSeconds,omitempty"`

	// IdleTimeoutSeconds is the maximum duration in seconds a request will be allowed to stay open while not receiving any bytes
	// from the user's application. If unspecified, a system default will be provided.
	// +optional
	IdleTimeoutSeconds *int64 `json:"idleTimeoutSeconds,omitempty"`
}

// RevisionStatus is what is known about a Revision.
type RevisionStatus struct {
	conditions.Status `json:",inline"`

	// LogURL is where this revision's logs can be read, made from logging.revision-url-template in ConfigMap config-observability.
	// +optional
	LogURL string `json:"logUrl,omitempty"`

	// ContainerStatuses names each container's image by its digest, resolved when the Revision was created.
	// +optional
	ContainerStatuses []ContainerStatus `json:"containerStatuses,omitempty"`

	// InitContainerStatuses is the same for the init containers.
	// +optional
	InitContainerStatuses []ContainerStatus `json:"initContainerStatuses,omitempty"`

	// ActualReplicas reflects the amount of ready pods running this revision.
	// +optional
	ActualReplicas *int32 `json:"actualReplicas,omitempty"`

	// DesiredReplicas reflects the desired amount of pods running this revision.
	// +optional
	DesiredReplicas *int32 `json:"desiredReplicas,omitempty"`
}

// ContainerStatus holds the information of container name and image digest value.
type ContainerStatus struct {
	// +optional
	Name string `json:"name,omitempty"`
	// +optional
	ImageDigest string `json:"imageDigest,omitempty"`
}

// RevisionList is a list of Revisions.
//
// +kubebuilder:object:root=true
type RevisionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Revision `json:"items"`
}

const (
	// RevisionConditionReady is True when the revision can serve. It stays so while it sleeps.
	RevisionConditionReady = conditions.Ready
	// RevisionConditionResourcesAvailable is True when what the revision runs on has been provisioned.
	RevisionConditionResourcesAvailable conditions.Type = "ResourcesAvailable"
	// RevisionConditionContainerHealthy is True when a replica has become ready.
	RevisionConditionContainerHealthy conditions.Type = "ContainerHealthy"
	// RevisionConditionActive is True while the revision has replicas. It does not decide Ready.
	RevisionConditionActive conditions.Type = "Active"
)
