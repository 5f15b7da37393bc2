package config

import (
	"maps"
	"net/url"
	"slices"

	"ebb.dev/ebb/crds/duck"
)

// EventingFeaturesName is the ConfigMap of namespace knative-eventing that ParseEventingFeatures reads.
const EventingFeaturesName = "config-features"

// EventingFeature is a key of config-features in namespace knative-eventing.
type EventingFeature string

const (
	// KReferenceGroup lets references name a group in place of an apiVersion.
	KReferenceGroup EventingFeature = "kreference-group"
	// KReferenceMapping maps references to URIs by templates.
	KReferenceMapping EventingFeature = "kreference-mapping"
	// DeliveryRetryAfter opens delivery.retryAfterMax.
	DeliveryRetryAfter EventingFeature = "delivery-retryafter"
	// DeliveryTimeout opens delivery.timeout.
	DeliveryTimeout EventingFeature = "delivery-timeout"
	// TransportEncryption is Disabled, Permissive or Strict.
	TransportEncryption EventingFeature = "transport-encryption"
	// EventTypeAutoCreate makes an EventType for each type of event that is seen.
	EventTypeAutoCreate EventingFeature = "eventtype-auto-create"
	// AuthenticationOIDC asks senders for tokens.
	AuthenticationOIDC EventingFeature = "authentication-oidc"
	// DefaultAuthorizationMode says who may send where no EventPolicy applies, with AuthenticationOIDC.
	DefaultAuthorizationMode EventingFeature = "default-authorization-mode"
	// CrossNamespaceEventLinks lets Triggers and Subscriptions name a Broker or channel in another namespace.
	CrossNamespaceEventLinks EventingFeature = "cross-namespace-event-links"
	// NewAPIServerSourceFilters opens filters of ApiServerSources.
	NewAPIServerSourceFilters EventingFeature = "new-apiserversource-filters"
)

// Flags of TransportEncryption and DefaultAuthorizationMode.
const (
	// Permissive takes events by HTTP and HTTPS, and prefers HTTPS.
	Permissive Flag = "Permissive"
	// Strict takes events by HTTPS only.
	Strict Flag = "Strict"
	// AllowAll lets everybody send.
	AllowAll Flag = "Allow-All"
	// DenyAll lets nobody send.
	DenyAll Flag = "Deny-All"
	// AllowSameNamespace lets senders of the same namespace send.
	AllowSameNamespace Flag = "Allow-Same-Namespace"
)

// eventingFeatures are all of them as they are when the ConfigMap says nothing.
var eventingFeatures = map[EventingFeature]Flag{
	KReferenceGroup: Disabled, KReferenceMapping: Disabled, DeliveryRetryAfter: Disabled, DeliveryTimeout: Enabled,
	TransportEncryption: Disabled, EventTypeAutoCreate: Disabled, AuthenticationOIDC: Disabled,
	DefaultAuthorizationMode: AllowSameNamespace, CrossNamespaceEventLinks: Disabled, NewAPIServerSourceFilters: Disabled,
}

// settledFeatures were features once and are always on. Their keys are taken without effect.
var settledFeatures = []string{"new-trigger-filters", "strict-subscriber", "delivery-retry-after"}

// Keys of config-features that are no flags.
const (
	oidcDiscoveryKey       = "oidc-discovery-base-url"
	requestReplyTimeoutKey = "requestreply-default-timeout"
	nodeSelectorPrefix     = "apiserversources-nodeselector-"
)

// EventingFeatures is what config-features of namespace knative-eventing says. Treat it as immutable.
type EventingFeatures struct {
	// Flags are the states of the features.
	Flags map[EventingFeature]Flag
	// OIDCDiscoveryBaseURL is where tokens' keys are found.
	OIDCDiscoveryBaseURL string
	// RequestReplyTimeout is that of a RequestReply without one, an ISO 8601 duration.
	RequestReplyTimeout string
	// APIServerSourceNodeSelector says where ApiServerSources run.
	APIServerSourceNodeSelector map[string]string
}

// Flag returns the state of a feature.
func (f EventingFeatures) Flag(feature EventingFeature) Flag {
	if flag, ok := f.Flags[feature]; ok {
		return flag
	}
	return eventingFeatures[feature]
}

// Enabled reports whether a feature is on.
func (f EventingFeatures) Enabled(feature EventingFeature) bool { return f.Flag(feature) == Enabled }

// Allowed reports whether a feature is on or may be used.
func (f EventingFeatures) Allowed(feature EventingFeature) bool {
	return f.Flag(feature) == Enabled || f.Flag(feature) == Allowed
}

// ParseEventingFeatures reads the data of config-features of namespace knative-eventing.
func ParseEventingFeatures(data map[string]string) (EventingFeatures, []string, error) {
	r := readEventing(EventingFeaturesName, data)
	f := EventingFeatures{
		Flags:                make(map[EventingFeature]Flag, len(eventingFeatures)),
		OIDCDiscoveryBaseURL: "https://kubernetes.default.svc",
		RequestReplyTimeout:  "PT30S",
	}
	for _, feature := range slices.Sorted(maps.Keys(eventingFeatures)) {
		words := []Flag{Enabled, Allowed, Disabled}
		switch feature {
		case TransportEncryption:
			words = []Flag{Disabled, Permissive, Strict}
		case DefaultAuthorizationMode:
			words = []Flag{AllowAll, DenyAll, AllowSameNamespace}
		}
		flag := eventingFeatures[feature]
		choice(r, &flag, words, string(feature))
		f.Flags[feature] = flag
	}
	for _, key := range settledFeatures {
		if _, ok := r.value(key); ok {
			r.warn(key, "is no feature any more: it is always on")
		}
	}
	r.text(&f.OIDCDiscoveryBaseURL, oidcDiscoveryKey)
	if u, err := url.Parse(f.OIDCDiscoveryBaseURL); err != nil || u.Scheme == "" || u.Host == "" {
		r.fail(oidcDiscoveryKey, "%q is no URL; write one such as \"https://kubernetes.default.svc\"", f.OIDCDiscoveryBaseURL)
	}
	r.text(&f.RequestReplyTimeout, requestReplyTimeoutKey)
	if d, err := duck.ParseDuration(f.RequestReplyTimeout); err != nil {
		r.fail(requestReplyTimeoutKey, "%v", err)
	} else if d <= 0 {
		r.fail(requestReplyTimeoutKey, "%q must be more than nothing; write one such as \"PT30S\"", f.RequestReplyTimeout)
	}
	f.APIServerSourceNodeSelector = r.nodeSelector(nodeSelectorPrefix)
	warnings, err := r.done()
	if err != nil {
		return EventingFeatures{}, warnings, err
	}
	return f, warnings, nil
}
