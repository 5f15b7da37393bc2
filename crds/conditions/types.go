package conditions

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Type is the CamelCase name of a condition.
type Type string

const (
	// Ready is the happy condition of things that live on.
	Ready Type = "Ready"
	// Succeeded is the happy condition of things that run to an end.
	Succeeded Type = "Succeeded"
)

// Severity says how to read a condition that is not True.
type Severity string

const (
	// SeverityError is a failure. It is the default, so it is the empty string on the wire.
	SeverityError Severity = ""
	// SeverityWarning is a failure with which things may still work.
	SeverityWarning Severity = "Warning"
	// SeverityInfo is no failure.
	SeverityInfo Severity = "Info"
)

// Condition is one observation of a resource's state.
type Condition struct {
	// Type of condition.
	Type Type `json:"type"`

	// Status of the condition, one of True, False, Unknown.
	Status corev1.ConditionStatus `json:"status"`

	// Severity with which to treat failures of this type of condition. When this is not specified, it defaults to Error.
	// +optional
	Severity Severity `json:"severity,omitempty"`

	// LastTransitionTime is the last time the condition changed.
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitempty,omitzero"`

	// The reason for the condition's last transition, one word in CamelCase.
	// +optional
	Reason string `json:"reason,omitempty"`

	// A human readable message indicating details about the transition.
	// +optional
	Message string `json:"message,omitempty"`
}

// IsTrue reports whether the condition is there and True.
func (c *Condition) IsTrue() bool { return c != nil && c.Status == corev1.ConditionTrue }

// IsFalse reports whether the condition is there and False.
func (c *Condition) IsFalse() bool { return c != nil && c.Status == corev1.ConditionFalse }

// IsUnknown reports whether the condition is absent or Unknown.
func (c *Condition) IsUnknown() bool { return c == nil || c.Status == corev1.ConditionUnknown }

// saysAsMuchAs reports whether both conditions are the same but for their transition times.
func (c Condition) saysAsMuchAs(other Condition) bool {
	c.LastTransitionTime = other.LastTransitionTime
	return c == other
}

// Status is the part of a resource's status that all kinds share. It is embedded inline.
type Status struct {
	// ObservedGeneration is the 'Generation' of the resource that was last processed by the controller.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions the latest available observations of a resource's current state.
	// +optional
	Conditions []Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`

	// Annotations is additional Status fields for the Resource to save some additional State as well as convey more information to the user.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// GetCondition returns a copy of the condition of type t, or nil.
func (s *Status) GetCondition(t Type) *Condition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == t {
			c := s.Conditions[i]
			return &c
		}
	}
	return nil
}

// KeepTransitionTimes gives every condition that says what it said in before its transition time of then.
//
// A reconciler calls it once, after its last mark, so that a condition it passed through other states on the way to the old one
// does not look changed and cause a write.
func (s *Status) KeepTransitionTimes(before *Status) {
	for i := range s.Conditions {
		if old := before.GetCondition(s.Conditions[i].Type); old != nil && s.Conditions[i].saysAsMuchAs(*old) {
			s.Conditions[i].LastTransitionTime = old.LastTransitionTime
		}
	}
}

// Addressable says where a resource takes requests or events.
type Addressable struct {
	// Name is the name of the address.
	// +optional
	Name *string `json:"name,omitempty"`

	// URL is where to send to.
	// +optional
	URL string `json:"url,omitempty"`

	// CACerts is the Certification Authority (CA) certificates in PEM format according to https://www.rfc-editor.org/rfc/rfc7468.
	// +optional
	CACerts *string `json:"CACerts,omitempty"`

	// Audience is the OIDC audience for this address.
	// +optional
	Audience *string `json:"audience,omitempty"`
}
