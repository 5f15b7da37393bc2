package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/template"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/networking"
)

// NetworkName is the ConfigMap that ParseNetwork reads.
const NetworkName = "config-network"

const (
	// DefaultDomainTemplate makes a route's host.
	DefaultDomainTemplate = "{{.Name}}.{{.Namespace}}.{{.Domain}}"
	// DefaultTagTemplate makes the name, in that host, of a traffic target with a tag.
	DefaultTagTemplate = "{{.Tag}}-{{.Name}}"
)

// toggle turns something on or off.
type toggle string

const (
	on  toggle = "Enabled"
	off toggle = "Disabled"
)

// HTTPProtocol says what plain HTTP gets from the outside.
type HTTPProtocol string

const (
	// HTTPEnabled serves it.
	HTTPEnabled HTTPProtocol = "Enabled"
	// HTTPDisabled refuses it. Knative deprecated this value.
	HTTPDisabled HTTPProtocol = "Disabled"
	// HTTPRedirected answers it with a redirect to HTTPS.
	HTTPRedirected HTTPProtocol = "Redirected"
)

// Network is what config-network says. Treat it as immutable.
type Network struct {
	// IngressClass is the class of routes that name none.
	IngressClass string
	// ServedIngressClasses are the classes that Ebb serves.
	ServedIngressClasses []string
	// CertificateClass is the class of certificates of routes that name none.
	CertificateClass string

	// ExternalDomainTLS, ClusterLocalDomainTLS and SystemInternalTLS ask for TLS from outside, from inside and between our own parts.
	ExternalDomainTLS     bool
	ClusterLocalDomainTLS bool
	SystemInternalTLS     bool
	// HTTPProtocol is what plain HTTP from outside gets.
	HTTPProtocol HTTPProtocol
	// DefaultExternalScheme is the scheme of URLs without TLS of ours: http, or https behind somebody else's.
	DefaultExternalScheme string
	// NamespaceWildcardCertSelector selects namespaces with one certificate for all their services; nil selects none.
	NamespaceWildcardCertSelector labels.Selector

	// RolloutDurationSeconds is over how long traffic moves to a new latest revision. 0 is at once.
	RolloutDurationSeconds int64
	// AutocreateClusterDomainClaims lets users claim any domain.
	AutocreateClusterDomainClaims bool

	// EnableMeshPodAddressability and MeshCompatibilityMode are kept for other people's meshes. Ebb always sends to pods.
	EnableMeshPodAddressability bool
	MeshCompatibilityMode       string

	domain, tag *template.Template
}

// DomainValues are what a domain-template may name.
type DomainValues struct {
	Name, Namespace, Domain string
	Annotations, Labels     map[string]string
}

// TagValues are what a tag-template may name.
type TagValues struct {
	Name, Tag string
}

// Domain returns the host of a route. The error names the template.
func (n *Network) Domain(values DomainValues) (string, error) { return execute(n.domain, values) }

// Tag returns the name that a tagged target has in its host. The error names the template.
func (n *Network) Tag(values TagValues) (string, error) { return execute(n.tag, values) }

// ServesIngressClass reports whether Ingresses of class are Ebb's to serve.
func (n *Network) ServesIngressClass(class string) bool {
	return slices.Contains(n.ServedIngressClasses, class)
}

// ParseNetwork reads the data of config-network.
func ParseNetwork(data map[string]string) (*Network, []string, error) {
	r := read(NetworkName, data)
	n := &Network{
		IngressClass: networking.IngressClassEbb,
		ServedIngressClasses: []string{
			networking.IngressClassEbb, networking.IngressClassKourier, networking.IngressClassIstio,
			networking.IngressClassContour, networking.IngressClassGatewayAPI, networking.IngressClassAsync,
		},
		CertificateClass:      networking.CertificateClassCertManager,
		HTTPProtocol:          HTTPEnabled,
		DefaultExternalScheme: "http",
		MeshCompatibilityMode: "auto",
	}
	r.text(&n.IngressClass, "ingress-class", "ingress.class")
	r.list(&n.ServedIngressClasses, "ebb-ingress-classes")
	r.text(&n.CertificateClass, "certificate-class", "certificate.class")
	r.whole(&n.RolloutDurationSeconds, "rollout-duration", "rolloutDuration")
	r.truth(&n.AutocreateClusterDomainClaims, "autocreate-cluster-domain-claims", "autocreateClusterDomainClaims")
	r.truth(&n.EnableMeshPodAddressability, "enable-mesh-pod-addressability")
	choice(r, &n.MeshCompatibilityMode, []string{"auto", "enabled", "disabled"}, "mesh-compatibility-mode")
	choice(r, &n.DefaultExternalScheme, []string{"http", "https"}, "default-external-scheme", "defaultExternalScheme")
	choice(r, &n.HTTPProtocol, []HTTPProtocol{HTTPEnabled, HTTPRedirected, HTTPDisabled}, "http-protocol", "httpProtocol")
	n.readTLS(r)
	n.readTemplates(r)
	if n.RolloutDurationSeconds < 0 {
		r.fail("rollout-duration", "%d is negative; write whole seconds, \"0\" for at once", n.RolloutDurationSeconds)
	}
	switch {
	case n.IngressClass == "":
		r.fail("ingress-class", "is empty; name a class, or remove the key for %s", networking.IngressClassEbb)
	case !n.ServesIngressClass(n.IngressClass):
		r.warn("ingress-class", "%s is not served by Ebb; add it to ebb-ingress-classes unless another controller serves it", n.IngressClass)
	}
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return n, warnings, nil
}

func (n *Network) readTLS(r *reader) {
	internal := false
	r.truth(&internal, "internal-encryption")
	external, local, system := off, off, off
	if internal {
		system = on
	}
	both := []toggle{on, off}
	choice(r, &external, both, "external-domain-tls", "auto-tls", "autoTLS")
	choice(r, &local, both, "cluster-local-domain-tls")
	choice(r, &system, both, "system-internal-tls")
	n.ExternalDomainTLS, n.ClusterLocalDomainTLS, n.SystemInternalTLS = external == on, local == on, system == on

	raw := ""
	r.text(&raw, "namespace-wildcard-cert-selector")
	if raw == "" {
		return
	}
	var selector metav1.LabelSelector
	err := yaml.Unmarshal([]byte(raw), &selector)
	if err == nil {
		n.NamespaceWildcardCertSelector, err = metav1.LabelSelectorAsSelector(&selector)
	}
	if err != nil {
		r.fail("namespace-wildcard-cert-selector", "is no label selector: %v; write one as YAML, {} for all namespaces", err)
	}
}

func (n *Network) readTemplates(r *reader) {
	domain, tag := DefaultDomainTemplate, DefaultTagTemplate
	r.text(&domain, "domain-template", "domainTemplate")
	r.text(&tag, "tag-template", "tagTemplate")
	var err error
	if n.domain, err = template.New("domain-template").Parse(domain); err == nil {
		err = n.checkDomain()
	}
	if err != nil {
		r.fail("domain-template", "%q makes no host name: %v; write one such as %q", domain, err, DefaultDomainTemplate)
	}
	if n.tag, err = template.New("tag-template").Parse(tag); err == nil {
		_, err = n.Tag(TagValues{Name: "name", Tag: "tag"})
	}
	if err != nil {
		r.fail("tag-template", "%q makes no name: %v; write one such as %q", tag, err, DefaultTagTemplate)
	}
}

// checkDomain tries the template: its result must be a host and nothing but a host.
func (n *Network) checkDomain() error {
	host, err := n.Domain(DomainValues{Name: "name", Namespace: "namespace", Domain: "example.com"})
	if err != nil {
		return err
	}
	u, err := url.Parse("https://" + host)
	switch {
	case err != nil:
		return err
	case u.Hostname() == "":
		return errors.New("it is empty")
	case u.RequestURI() != "/":
		return fmt.Errorf("it has a path %s", u.RequestURI())
	}
	return nil
}

// maxName bounds what a template makes. No host name is longer than 253 characters.
const maxName = 1024

func execute(t *template.Template, values any) (string, error) {
	var out bounded
	if err := t.Execute(&out, values); err != nil {
		return "", fmt.Errorf("execute %s: %w", t.Name(), err)
	}
	return out.text.String(), nil
}

// bounded keeps what is written to it up to maxName bytes.
type bounded struct{ text strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > maxName {
		return 0, fmt.Errorf("more than %d bytes", maxName)
	}
	return b.text.Write(p)
}
