package networking

const (
	// GroupName is the API group of Ingress.
	GroupName = "networking.internal.knative.dev"
	// PublicGroupName is the prefix of what users write.
	PublicGroupName = "networking.knative.dev"
)

// Labels and annotations that the system writes.
const (
	// IngressLabelKey names the Ingress that an object was made for.
	IngressLabelKey = GroupName + "/ingress"
	// RolloutAnnotationKey holds the state of a gradual rollout, as JSON, on an Ingress.
	RolloutAnnotationKey = GroupName + "/rollout"
	// TagLabelKey names the traffic tag an Ingress stands for.
	TagLabelKey = GroupName + "/tag"
	// TagToHostAnnotationKey maps tags to host names, as JSON.
	TagToHostAnnotationKey = GroupName + "/tag-to-host"
	// CertificateTypeLabelKey is what a certificate is for.
	CertificateTypeLabelKey = PublicGroupName + "/certificate-type"
	// TrustBundleLabelKey marks ConfigMaps of CA certificates to trust.
	TrustBundleLabelKey = PublicGroupName + "/trust-bundle"
	// WildcardCertDomainLabelKey is the domain of a wildcard certificate.
	WildcardCertDomainLabelKey = PublicGroupName + "/wildcardDomain"
)

// Headers that a KIngress split appends where its backend is a revision: by them a Route says so, and who serves the Ingress knows.
const (
	RevisionHeader  = "Knative-Serving-Revision"
	NamespaceHeader = "Knative-Serving-Namespace"
)

// Labels and annotations that users write. Where there are two spellings, reconcilers write the first.
const (
	// VisibilityLabelKey, with the value VisibilityClusterLocal, keeps a Service or Route inside the cluster.
	VisibilityLabelKey = PublicGroupName + "/visibility"
	// VisibilityClusterLocal is the one value of VisibilityLabelKey.
	VisibilityClusterLocal = "cluster-local"

	// IngressClassAnnotationKey chooses who serves an Ingress.
	IngressClassAnnotationKey = PublicGroupName + "/ingress.class"
	// IngressClassAltAnnotationKey is the spelling for users.
	IngressClassAltAnnotationKey = PublicGroupName + "/ingress-class"
	// CertificateClassAnnotationKey chooses who issues certificates.
	CertificateClassAnnotationKey = PublicGroupName + "/certificate.class"
	// CertificateClassAltAnnotationKey is the spelling for users.
	CertificateClassAltAnnotationKey = PublicGroupName + "/certificate-class"
	// HTTPOptionAnnotationKey says what plain HTTP gets: Enabled or Redirected.
	HTTPOptionAnnotationKey = PublicGroupName + "/httpOption"
	// HTTPProtocolAnnotationKey is the spelling for users.
	HTTPProtocolAnnotationKey = PublicGroupName + "/http-protocol"
	// DisableExternalDomainTLSAnnotationKey, with the value "true", asks for no certificate.
	DisableExternalDomainTLSAnnotationKey = PublicGroupName + "/disable-external-domain-tls"
	// DisableAutoTLSAnnotationKey is its older name.
	DisableAutoTLSAnnotationKey = PublicGroupName + "/disableAutoTLS"
	// DisableAutoTLSAltAnnotationKey is another spelling of the older name.
	DisableAutoTLSAltAnnotationKey = PublicGroupName + "/disable-auto-tls"
)

// Ingress classes. Ebb serves its own and, unless told not to, those of the layers it stands in for.
const (
	IngressClassEbb        = "ebb.ingress.networking.knative.dev"
	IngressClassKourier    = "kourier.ingress.networking.knative.dev"
	IngressClassIstio      = "istio.ingress.networking.knative.dev"
	IngressClassContour    = "contour.ingress.networking.knative.dev"
	IngressClassGatewayAPI = "gateway-api.ingress.networking.knative.dev"
	// IngressClassAsync is that of Knative's async component. With Ebb any class answers later.
	IngressClassAsync = "async.ingress.networking.knative.dev"

	// CertificateClassCertManager is the default certificate class.
	CertificateClassCertManager = "cert-manager.certificate.networking.knative.dev"
)

// IngressClass returns the ingress class that annotations ask for, or "".
func IngressClass(annotations map[string]string) string {
	return first(annotations, IngressClassAnnotationKey, IngressClassAltAnnotationKey)
}

// CertificateClass returns the certificate class that annotations ask for, or "".
func CertificateClass(annotations map[string]string) string {
	return first(annotations, CertificateClassAnnotationKey, CertificateClassAltAnnotationKey)
}

// HTTPProtocol returns what annotations say plain HTTP gets, or "".
func HTTPProtocol(annotations map[string]string) string {
	return first(annotations, HTTPOptionAnnotationKey, HTTPProtocolAnnotationKey)
}

// DisableExternalDomainTLS returns whether annotations ask for no certificate: "true", "false" or "".
func DisableExternalDomainTLS(annotations map[string]string) string {
	return first(annotations, DisableAutoTLSAnnotationKey, DisableAutoTLSAltAnnotationKey, DisableExternalDomainTLSAnnotationKey)
}

// first returns the value of the first key that is set.
func first(annotations map[string]string, keys ...string) string {
	for _, key := range keys {
		if value, ok := annotations[key]; ok {
			return value
		}
	}
	return ""
}
