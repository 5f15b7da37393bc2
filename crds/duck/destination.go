package duck

import (
	"ebb.dev/ebb/crds/conditions"
)

// Addressable says where a resource takes events.
type Addressable = conditions.Addressable

// KReference names an object, in this namespace unless it says another.
type KReference struct {
	// Kind of the referent.
	// +optional
	Kind string `json:"kind,omitempty"`

	// Namespace of the referent. It is that of the object holding the reference if left out.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// Name of the referent.
	// +optional
	Name string `json:"name,omitempty"`

	// APIVersion of the referent.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Group of the API, without the version of the group. This can be used as an alternative to the APIVersion,
	// and is resolved to the group's version that is served.
	// +optional
	Group string `json:"group,omitempty"`

	// Address points to a specific address name, where the referent has several.
	// +optional
	Address *string `json:"address,omitempty"`
}

// Destination is where events go: to a referent, to a URI, or to a URI relative to a referent.
type Destination struct {
	// Ref points to an Addressable.
	// +optional
	Ref *KReference `json:"ref,omitempty"`

	// URI can be an absolute URL (non-empty scheme and non-empty host) pointing to the target or a relative URI.
	// Relative URIs will be resolved using the base URI retrieved from Ref.
	// +optional
	URI *string `json:"uri,omitempty"`

	// CACerts are Certification Authority (CA) certificates in PEM format that the target's certificate is verified with.
	// Without them the referent's own are used.
	// +optional
	CACerts *string `json:"CACerts,omitempty"`

	// Audience is the OIDC audience. This need only be set if the target is not an Addressable and thus its audience is not known.
	// +optional
	Audience *string `json:"audience,omitempty"`
}

// AddressStatus says where a resource takes events. It is embedded inline in a status.
type AddressStatus struct {
	// Address is a single Addressable address. If Addresses is present, Address is ignored by clients.
	// +optional
	Address *Addressable `json:"address,omitempty"`

	// Addresses is a list of addresses for different protocols (HTTP and HTTPS).
	// +optional
	Addresses []Addressable `json:"addresses,omitempty"`
}

// AuthStatus says as whom a resource sends events.
type AuthStatus struct {
	// ServiceAccountName is the name of the generated service account used for this component's OIDC authentication.
	// +optional
	ServiceAccountName *string `json:"serviceAccountName,omitempty"`

	// ServiceAccountNames is the list of names of the generated service accounts used for this component's OIDC authentication.
	// +optional
	ServiceAccountNames []string `json:"serviceAccountNames,omitempty"`
}

// AppliedEventPoliciesStatus lists the policies that a resource obeys. It is embedded inline in a status.
type AppliedEventPoliciesStatus struct {
	// Policies holds the list of applied EventPolicies.
	// +optional
	Policies []AppliedEventPolicyRef `json:"policies,omitempty"`
}

// AppliedEventPolicyRef names an EventPolicy.
type AppliedEventPolicyRef struct {
	// APIVersion of the applied EventPolicy.
	APIVersion string `json:"apiVersion"`

	// Name of the applied EventPolicy.
	Name string `json:"name"`
}
