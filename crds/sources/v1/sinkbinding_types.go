package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
	"ebb.dev/ebb/crds/duck"
)

// SinkBinding tells workloads where to send events: it sets K_SINK and K_CE_OVERRIDES in the containers of its subjects.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,sources,bindings}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Sink,type=string,JSONPath=`.status.sinkUri`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/source=true","eventing.knative.dev/source=true","duck.knative.dev/binding=true"}
type SinkBinding struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// +optional
	Spec SinkBindingSpec `json:"spec,omitempty,omitzero"`

	// +optional
	Status SinkBindingStatus `json:"status,omitempty,omitzero"`
}

// SinkBindingSpec is who is told of which sink.
type SinkBindingSpec struct {
	duck.SourceSpec `json:",inline"`

	duck.BindingSpec `json:",inline"`
}

// SinkBindingStatus is what is known about a SinkBinding.
type SinkBindingStatus struct {
	duck.SourceStatus `json:",inline"`

	// OIDCTokenSecretName is the name of the Secret containing the token for this SinkBinding's OIDC authentication.
	// +optional
	OIDCTokenSecretName *string `json:"oidcTokenSecretName,omitempty"`
}

// SinkBindingList is a list of SinkBindings.
//
// +kubebuilder:object:root=true
type SinkBindingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []SinkBinding `json:"items"`
}

const (
	// SinkBindingConditionReady follows the others.
	SinkBindingConditionReady = conditions.Ready
	// SinkBindingConditionAvailable is True when its subjects are bound.
	SinkBindingConditionAvailable conditions.Type = "SinkBindingAvailable"
	// SinkBindingConditionSinkProvided is True when the sink has a URI.
	SinkBindingConditionSinkProvided conditions.Type = "SinkProvided"
	// SinkBindingConditionOIDCIdentityCreated is True when there is a service account to send events as, or none is needed.
	SinkBindingConditionOIDCIdentityCreated conditions.Type = "OIDCIdentityCreated"
	// SinkBindingConditionOIDCTokenSecretCreated is True when there is a Secret with a token for its subjects, or none is needed.
	SinkBindingConditionOIDCTokenSecretCreated conditions.Type = "OIDCTokenSecretCreated"
	// SinkBindingConditionTrustBundlePropagated is True when its subjects trust the sink.
	SinkBindingConditionTrustBundlePropagated conditions.Type = "TrustBundlePropagated"
)

var sinkBindingConditions = conditions.Living(
	SinkBindingConditionAvailable,
	SinkBindingConditionSinkProvided,
	SinkBindingConditionOIDCIdentityCreated,
	SinkBindingConditionOIDCTokenSecretCreated,
)

// IsReady reports whether the SinkBinding's latest spec is in effect.
func (s *SinkBinding) IsReady() bool {
	return s.Status.ObservedGeneration == s.Generation && s.Status.GetCondition(SinkBindingConditionReady).IsTrue()
}

// Mark returns the manager that marks conditions of this status, all with the time now.
func (s *SinkBindingStatus) Mark(now metav1.Time) conditions.Manager {
	return sinkBindingConditions.Manage(&s.Status, now)
}
