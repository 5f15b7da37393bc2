package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// PingSource sends an event of fixed data on a schedule.
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
// +kubebuilder:metadata:annotations={`registry.knative.dev/eventTypes=[{"type":"dev.knative.sources.ping","description":"CloudEvent type for fixed payloads on a specified cron schedule"}]`}
type PingSource struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec PingSourceSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status PingSourceStatus `json:"status,omitempty,omitzero"`
}

// PingSourceSpec is what is sent, when and where to.
type PingSourceSpec struct {
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
}

// PingSourceStatus is what is known about a PingSource.
type PingSourceStatus struct {
	duck.SourceStatus `json:",inline"`
}

// PingSourceList is a list of PingSources.
//
// +kubebuilder:object:root=true
type PingSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []PingSource `json:"items"`
}

const (
	// PingSourceConditionReady follows the others.
	PingSourceConditionReady = conditions.Ready
	// PingSourceConditionSinkProvided is True when the sink has a URI.
	PingSourceConditionSinkProvided conditions.Type = "SinkProvided"
	// PingSourceConditionDeployed is True when its schedule runs.
	PingSourceConditionDeployed conditions.Type = "Deployed"
	// PingSourceConditionOIDCIdentityCreated is True when there is a service account to send events as, or none is needed.
	PingSourceConditionOIDCIdentityCreated conditions.Type = "OIDCIdentityCreated"
)

var pingSourceConditions = conditions.Living(
	PingSourceConditionSinkProvided,
	PingSourceConditionDeployed,
	PingSourceConditionOIDCIdentityCreated,
)

// IsReady reports whether the PingSource's latest spec is in effect.
func (p *PingSource) IsReady() bool {
	return p.Status.ObservedGeneration == p.Generation && p.Status.GetCondition(PingSourceConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *PingSourceStatus) Mark(now metav1.Time) conditions.Manager {
	return pingSourceConditions.Manage(&s.Status, now)
}

// PingSourceEventType is the CloudEvents type of its events.
const PingSourceEventType = "dev.knative.sources.ping"
