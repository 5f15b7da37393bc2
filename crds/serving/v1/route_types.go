package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ebb.dev/ebb/crds/conditions"
)

// Route is responsible for configuring ingress over a collection of Revisions. Where it refers to a Configuration it follows
// that Configuration's latest ready Revision.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories={all,knative,serving},shortName={rt}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=URL,type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:metadata:labels={"duck.knative.dev/addressable=true"}
type Route struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// Spec holds the desired state of the Route (from the client).
	// +optional
	Spec RouteSpec `json:"spec,omitempty,omitzero"`

	// Status communicates the observed state of the Route (from the controller).
	// +optional
	Status RouteStatus `json:"status,omitempty,omitzero"`
}

// TrafficTarget holds a single entry of the routing table for a Route.
type TrafficTarget struct {
	// Tag is optionally used to expose a dedicated url for referencing this target exclusively.
	// +optional
	Tag string `json:"tag,omitempty"`

	// RevisionName of a specific revision to which to send this portion of traffic. This is mutually exclusive with ConfigurationName.
	// +optional
	RevisionName string `json:"revisionName,omitempty"`

	// ConfigurationName of a configuration to whose latest ready revision we will send this portion of traffic.
	// This is mutually exclusive with RevisionName and never set in a Route's status.
	// +optional
	ConfigurationName string `json:"configurationName,omitempty"`

	// LatestRevision may be optionally provided to indicate that the latest ready Revision of the Configuration should be used
	// for this traffic target. It must be true if RevisionName is empty; it must be false when RevisionName is non-empty.
	// +optional
	LatestRevision *bool `json:"latestRevision,omitempty"`

	// Percent is the share of traffic, from 0 to 100, that goes to this target; all of them add up to 100.
	// +optional
	Percent *int64 `json:"percent,omitempty"`

	// URL displays the URL for accessing named traffic targets. URL is displayed in status, and is disallowed on spec.
	// +optional
	URL string `json:"url,omitempty"`
}

// RouteSpec holds the desired state of the Route.
type RouteSpec struct {
	// Traffic specifies how to distribute traffic over a collection of revisions and configurations.
	// +optional
	Traffic []TrafficTarget `json:"traffic,omitempty"`
}

// RouteStatusFields is the part of a Route's status that a Service shows too.
type RouteStatusFields struct {
	// URL holds the url that will distribute traffic over the provided traffic targets.
	// It generally has the form http[s]://{route-name}.{route-namespace}.{cluster-level-suffix}
	// +optional
	URL string `json:"url,omitempty"`

	// Address holds the information needed for a Route to be the target of an event.
	// +optional
	Address *conditions.Addressable `json:"address,omitempty"`

	// Traffic holds the configured traffic distribution. These entries will always contain RevisionName references.
	// +optional
	Traffic []TrafficTarget `json:"traffic,omitempty"`
}

// RouteStatus is what is known about a Route.
type RouteStatus struct {
	conditions.Status `json:",inline"`

	RouteStatusFields `json:",inline"`
}

// RouteList is a list of Routes.
//
// +kubebuilder:object:root=true
type RouteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Route `json:"items"`
}

const (
	// RouteConditionReady is True when requests to the route's URL reach what its spec says.
	RouteConditionReady = conditions.Ready
	// RouteConditionAllTrafficAssigned is True when every traffic target is there and ready.
	RouteConditionAllTrafficAssigned conditions.Type = "AllTrafficAssigned"
	// RouteConditionIngressReady follows the KIngress.
	RouteConditionIngressReady conditions.Type = "IngressReady"
	// RouteConditionCertificateProvisioned is True when the certificates are there or none is needed.
	RouteConditionCertificateProvisioned conditions.Type = "CertificateProvisioned"
)
