package v1alpha1

import (
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// JobSink runs a Job for each event.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,eventing,sink}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.address.url`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/addressable=true"}
type JobSink struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec JobSinkSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status JobSinkStatus `json:"status,omitempty,omitzero"`
}

// JobSinkSpec is the Job to run.
type JobSinkSpec struct {
	// Job to run when an event occurs.
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Job *batchv1.Job `json:"job,omitempty"`
}

// ExecutionModeEnvVar names the environment variable in which a Job's containers find how events are given, ExecutionModeBatch.
const (
	ExecutionModeEnvVar = "K_EXECUTION_MODE"
	ExecutionModeBatch  = "batch"
)

// JobSinkStatus is what is known about a JobSink.
type JobSinkStatus struct {
	conditions.Status `json:",inline"`

	duck.AddressStatus `json:",inline"`

	// JobStatus says how to find its Jobs.
	// +optional
	JobStatus JobStatus `json:"job,omitempty,omitzero"`

	duck.AppliedEventPoliciesStatus `json:",inline"`
}

// JobStatus says how to find Jobs.
type JobStatus struct {
	// Selector is a label selector of the Jobs.
	// +optional
	Selector string `json:"selector,omitempty"`
}

// JobSinkList is a list of JobSinks.
//
// +kubebuilder:object:root=true
type JobSinkList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []JobSink `json:"items"`
}

const (
	// JobSinkConditionReady follows the others.
	JobSinkConditionReady = conditions.Ready
	// JobSinkConditionAddressable is True when there is an address to send events to.
	JobSinkConditionAddressable conditions.Type = "Addressable"
	// JobSinkConditionEventPoliciesReady is True when all applying EventPolicies are, or there are none.
	JobSinkConditionEventPoliciesReady conditions.Type = "EventPoliciesReady"
)

var jobSinkConditions = conditions.Living(
	JobSinkConditionAddressable,
	JobSinkConditionEventPoliciesReady,
)

// IsReady reports whether the JobSink's latest spec is in effect.
func (j *JobSink) IsReady() bool {
	return j.Status.ObservedGeneration == j.Generation && j.Status.GetCondition(JobSinkConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *JobSinkStatus) Mark(now metav1.Time) conditions.Manager {
	return jobSinkConditions.Manage(&s.Status, now)
}
