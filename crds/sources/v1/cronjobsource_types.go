package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// CronJobSource sends an event of fixed data on a schedule. It is the older name of PingSource.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,sources}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Sink,type=string,JSONPath=`.status.sinkUri`
// +kubebuilder:printcolumn:name=Schedule,type=string,JSONPath=`.spec.schedule`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/source=true","eventing.knative.dev/source=true"}
// +kubebuilder:metadata:annotations={`registry.knative.dev/eventTypes=[{"type":"dev.knative.cronjob.event","description":"CloudEvent type for fixed payloads on a specified cron schedule"}]`}
type CronJobSource struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec CronJobSourceSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status CronJobSourceStatus `json:"status,omitempty,omitzero"`
}

// CronJobSourceSpec is what is sent, when and where to.
type CronJobSourceSpec struct {
	duck.SourceSpec `json:",inline"`

	// Schedule is the cron schedule: five fields, six with seconds first, or a macro such as @hourly. Defaults to `* * * * *`.
	// +optional
	Schedule string `json:"schedule,omitempty"`

	// Timezone modifies the actual time relative to the specified timezone, such as Europe/Vienna. Defaults to the system's.
	// +optional
	Timezone string `json:"timezone,omitempty"`

	// ContentType is the media type of Data or DataBase64. Default is empty.
	// +optional
	ContentType string `json:"contentType,omitempty"`

	// Data is data used as the body of the event posted to the sink. Default is empty. Mutually exclusive with DataBase64.
	// +optional
	Data string `json:"data,omitempty"`

	// DataBase64 is the base64-encoded string of the actual event's body posted to the sink. Mutually exclusive with Data.
	// +optional
	DataBase64 string `json:"dataBase64,omitempty"`

	// ServiceAccountName is taken and has no effect: no pod runs for a CronJobSource.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// Resources are taken and have no effect: no pod runs for a CronJobSource.
	// +optional
	Resources *CronJobResources `json:"resources,omitempty"`
}

// CronJobResources are what older versions gave the pod of a CronJobSource.
type CronJobResources struct {
	// +optional
	Requests *CronJobResourceValues `json:"requests,omitempty"`
	// +optional
	Limits *CronJobResourceValues `json:"limits,omitempty"`
}

// CronJobResourceValues are quantities.
type CronJobResourceValues struct {
	// +optional
	CPU string `json:"cpu,omitempty"`
	// +optional
	Memory string `json:"memory,omitempty"`
}

// CronJobSourceStatus is what is known about a CronJobSource.
type CronJobSourceStatus struct {
	duck.SourceStatus `json:",inline"`
}

// CronJobSourceList is a list of CronJobSources.
//
// +kubebuilder:object:root=true
type CronJobSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []CronJobSource `json:"items"`
}

const (
	// CronJobSourceConditionReady follows the others.
	CronJobSourceConditionReady = conditions.Ready
	// CronJobSourceConditionSinkProvided is True when the sink has a URI.
	CronJobSourceConditionSinkProvided conditions.Type = "SinkProvided"
	// CronJobSourceConditionDeployed is True when its schedule runs.
	CronJobSourceConditionDeployed conditions.Type = "Deployed"
	// CronJobSourceConditionOIDCIdentityCreated is True when there is a service account to send events as, or none is needed.
	CronJobSourceConditionOIDCIdentityCreated conditions.Type = "OIDCIdentityCreated"
)

var cronJobSourceConditions = conditions.Living(
	CronJobSourceConditionSinkProvided,
	CronJobSourceConditionDeployed,
	CronJobSourceConditionOIDCIdentityCreated,
)

// IsReady reports whether the CronJobSource's latest spec is in effect.
func (c *CronJobSource) IsReady() bool {
	return c.Status.ObservedGeneration == c.Generation && c.Status.GetCondition(CronJobSourceConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *CronJobSourceStatus) Mark(now metav1.Time) conditions.Manager {
	return cronJobSourceConditions.Manage(&s.Status, now)
}

// CronJobSourceEventType is the CloudEvents type of its events.
const CronJobSourceEventType = "dev.knative.cronjob.event"
