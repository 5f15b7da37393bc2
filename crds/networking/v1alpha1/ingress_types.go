package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"ebb.dev/ebb/crds/conditions"
)

// Ingress is a collection of rules that allow inbound connections to reach the endpoints defined by a backend.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=ingresses,categories={knative-internal,networking},shortName={kingress,king}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name=Ready,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name=Reason,type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
type Ingress struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// Spec is the desired state of the Ingress.
	// +optional
	Spec IngressSpec `json:"spec,omitempty,omitzero"`

	// Status is the current state of the Ingress.
	// +optional
	Status IngressStatus `json:"status,omitempty,omitzero"`
}

// IngressList is a list of Ingresses.
//
// +kubebuilder:object:root=true
type IngressList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Ingress `json:"items"`
}

// IngressSpec describes the Ingress the user wishes to exist. Unlike Kubernetes' own, traffic can be split and headers can be added.
type IngressSpec struct {
	// TLS configuration, all of it on port 443 and told apart by SNI.
	// +optional
	TLS []IngressTLS `json:"tls,omitempty"`

	// A list of host rules used to configure the Ingress.
	// +optional
	Rules []IngressRule `json:"rules,omitempty"`

	// HTTPOption says what plain HTTP gets: Enabled or Redirected to HTTPS.
	// +optional
	HTTPOption HTTPOption `json:"httpOption,omitempty"`
}

// HTTPOption says what plain HTTP gets.
type HTTPOption string

const (
	// HTTPOptionEnabled serves plain HTTP.
	HTTPOptionEnabled HTTPOption = "Enabled"
	// HTTPOptionRedirected answers plain HTTP with a redirect to HTTPS.
	HTTPOptionRedirected HTTPOption = "Redirected"
)

// IngressVisibility says which gateways serve a rule.
type IngressVisibility string

const (
	// IngressVisibilityExternalIP is for gateways that the outside reaches, and the default.
	IngressVisibilityExternalIP IngressVisibility = "ExternalIP"
	// IngressVisibilityClusterLocal is for gateways inside the cluster only.
	IngressVisibilityClusterLocal IngressVisibility = "ClusterLocal"
)

// IngressTLS is the certificate for some hosts.
type IngressTLS struct {
	// Hosts is a list of hosts included in the TLS certificate.
	// +optional
	Hosts []string `json:"hosts,omitempty"`

	// SecretName is the name of the secret used to terminate SSL traffic.
	// +optional
	SecretName string `json:"secretName,omitempty"`

	// SecretNamespace is the namespace of the secret used to terminate SSL traffic.
	// +optional
	SecretNamespace string `json:"secretNamespace,omitempty"`
}

// IngressRule maps the paths under some hosts to backends.
type IngressRule struct {
	// Hosts are fully qualified domain names without ports. If several rules match, the first one takes precedence.
	// +optional
	Hosts []string `json:"hosts,omitempty"`

	// Visibility is ExternalIP or ClusterLocal. It defaults to ExternalIP.
	// +optional
	Visibility IngressVisibility `json:"visibility,omitempty"`

	// HTTP represents a rule to apply against incoming requests.
	// +optional
	HTTP *HTTPIngressRuleValue `json:"http,omitempty"`
}

// HTTPIngressRuleValue is a list of paths and where each leads.
type HTTPIngressRuleValue struct {
	// A collection of paths that map requests to backends. If several match, the first takes precedence.
	Paths []HTTPIngressPath `json:"paths"`
}

// HTTPIngressPath is a path prefix, and headers, with the backends that matching requests go to.
type HTTPIngressPath struct {
	// Path represents a literal prefix to which this rule should apply. If unspecified, it matches everything.
	// +optional
	Path string `json:"path,omitempty"`

	// RewriteHost rewrites the incoming request's host header.
	// +optional
	RewriteHost string `json:"rewriteHost,omitempty"`

	// Headers must all match for the rule to apply.
	// +optional
	Headers map[string]HeaderMatch `json:"headers,omitempty"`

	// Splits are the backends and their shares of the traffic.
	Splits []IngressBackendSplit `json:"splits"`

	// AppendHeaders are set on the request before it goes to whichever backend.
	// +optional
	AppendHeaders map[string]string `json:"appendHeaders,omitempty"`
}

// IngressBackendSplit is a backend and its share of the traffic.
type IngressBackendSplit struct {
	IngressBackend `json:",inline"`

	// Percent is the share of traffic, between 0 and 100. If only one split is specified, we default to 100.
	// +optional
	Percent int `json:"percent,omitempty"`

	// AppendHeaders are set on the request before it goes to this backend.
	// +optional
	AppendHeaders map[string]string `json:"appendHeaders,omitempty"`
}

// IngressBackend is a port of a Kubernetes Service.
type IngressBackend struct {
	// Specifies the namespace of the referenced service.
	ServiceNamespace string `json:"serviceNamespace"`

	// Specifies the name of the referenced service.
	ServiceName string `json:"serviceName"`

	// Specifies the port of the referenced service.
	ServicePort intstr.IntOrString `json:"servicePort"`
}

// HeaderMatch is what a header must be.
type HeaderMatch struct {
	// Exact is the whole value.
	Exact string `json:"exact"`
}

// IngressStatus is what is known about an Ingress.
type IngressStatus struct {
	conditions.Status `json:",inline"`

	// PublicLoadBalancer contains the current status of the load-balancer for the outside.
	// +optional
	PublicLoadBalancer *LoadBalancerStatus `json:"publicLoadBalancer,omitempty"`

	// PrivateLoadBalancer contains the current status of the load-balancer for the cluster.
	// +optional
	PrivateLoadBalancer *LoadBalancerStatus `json:"privateLoadBalancer,omitempty"`
}

// LoadBalancerStatus lists where a load-balancer takes traffic.
type LoadBalancerStatus struct {
	// Ingress is a list containing ingress points for the load-balancer.
	// +optional
	Ingress []LoadBalancerIngressStatus `json:"ingress,omitempty"`
}

// LoadBalancerIngressStatus is one place to send traffic to.
type LoadBalancerIngressStatus struct {
	// IP is set for load-balancer ingress points that are IP based.
	// +optional
	IP string `json:"ip,omitempty"`

	// Domain is set for load-balancer ingress points that are DNS based.
	// +optional
	Domain string `json:"domain,omitempty"`

	// DomainInternal is set if there is a cluster-local DNS name to access the Ingress.
	// +optional
	DomainInternal string `json:"domainInternal,omitempty"`

	// MeshOnly is set if the Ingress is only load-balanced through a Service mesh.
	// +optional
	MeshOnly bool `json:"meshOnly,omitempty"`
}

const (
	// IngressConditionReady is True when the gateways serve the Ingress and can be reached.
	IngressConditionReady = conditions.Ready
	// IngressConditionNetworkConfigured is True when every gateway has accepted the rules.
	IngressConditionNetworkConfigured conditions.Type = "NetworkConfigured"
	// IngressConditionLoadBalancerReady is True when there is an address to send to.
	IngressConditionLoadBalancerReady conditions.Type = "LoadBalancerReady"
)
