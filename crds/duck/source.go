package duck

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
)

// SourceSpec is what every source's spec has. It is embedded inline.
type SourceSpec struct {
	// Sink is a reference to an object that will resolve to a uri to use as the sink.
	// +optional
	Sink Destination `json:"sink,omitempty,omitzero"`

	// CloudEventOverrides defines overrides to control the output format and modifications of the event sent to the sink.
	// +optional
	CloudEventOverrides *CloudEventOverrides `json:"ceOverrides,omitempty"`
}

// CloudEventOverrides changes events on their way from a source to its sink.
type CloudEventOverrides struct {
	// Extensions specify what attribute are added or overridden on the outbound event. Each Extensions key-value pair is set on
	// the event as an attribute extension independently.
	// +optional
	Extensions map[string]string `json:"extensions,omitempty"`
}

// SourceStatus is what every source's status has. It is embedded inline.
type SourceStatus struct {
	conditions.Status `json:",inline"`

	// SinkURI is the current active sink URI that has been configured for the Source.
	// +optional
	SinkURI *string `json:"sinkUri,omitempty"`

	// CloudEventAttributes are the specific attributes that the Source uses as part of its CloudEvents.
	// +optional
	CloudEventAttributes []CloudEventAttributes `json:"ceAttributes,omitempty"`

	// SinkCACerts are Certification Authority (CA) certificates in PEM format of the sink.
	// +optional
	SinkCACerts *string `json:"sinkCACerts,omitempty"`

	// SinkAudience is the OIDC audience of the sink.
	// +optional
	SinkAudience *string `json:"sinkAudience,omitempty"`

	// Auth says as whom events are sent.
	// +optional
	Auth *AuthStatus `json:"auth,omitempty"`
}

// CloudEventAttributes are those of the events that a source makes.
type CloudEventAttributes struct {
	// Type refers to the CloudEvent type attribute.
	// +optional
	Type string `json:"type,omitempty"`

	// Source is the CloudEvents source attribute.
	// +optional
	Source string `json:"source,omitempty"`
}

// BindingSpec says which objects a binding changes. It is embedded inline.
type BindingSpec struct {
	// Subject references the resource(s) whose "runtime contract" should be augmented by the binding.
	Subject Subject `json:"subject"`
}

// Subject names objects: one by its name, or several by a selector.
type Subject struct {
	// API version of the referent.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the referent.
	// +optional
	Kind string `json:"kind,omitempty"`

	// Namespace of the referent. It is that of the binding if left out.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// Name of the referent. Mutually exclusive with Selector.
	// +optional
	Name string `json:"name,omitempty"`

	// Selector of the referents. Mutually exclusive with Name.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}
