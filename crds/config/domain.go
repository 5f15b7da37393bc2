package config

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"ebb.dev/ebb/crds/networking"
)

// DomainName is the ConfigMap that ParseDomain reads.
const DomainName = "config-domain"

// Domain is what config-domain says: the domains that routes live under. Treat it as immutable.
type Domain struct {
	clusterLocal string
	domains      map[string]map[string]string
}

// For returns the domain of a route with these labels. A route for the cluster only gets the cluster's own.
func (d *Domain) For(route map[string]string) string {
	if route[networking.VisibilityLabelKey] == networking.VisibilityClusterLocal {
		return d.clusterLocal
	}
	domain, _ := mostSpecific(d.domains, route)
	return domain
}

// ClusterLocal returns the domain of Services inside the cluster, such as svc.cluster.local.
func (d *Domain) ClusterLocal() string { return d.clusterLocal }

// IsClusterLocal reports whether host is reached only from inside the cluster.
func (d *Domain) IsClusterLocal(host string) bool {
	return host == d.clusterLocal || strings.HasSuffix(host, "."+d.clusterLocal)
}

// domainValue is what a domain says of itself. Type is Knative's, for wildcard certificates, and follows from the selector.
type domainValue struct {
	Selector map[string]string `json:"selector,omitempty"`
	Type     string            `json:"type,omitempty"`
}

// ParseDomain reads the data of config-domain. clusterDomain is the cluster's own, such as cluster.local: its Services are the
// domain of last resort, where no other has an empty selector.
func ParseDomain(data map[string]string, clusterDomain string) (*Domain, []string, error) {
	r := read(DomainName, data)
	d := &Domain{clusterLocal: "svc." + clusterDomain, domains: map[string]map[string]string{}}
	hasDefault := false
	for _, domain := range slices.Sorted(maps.Keys(data)) {
		if strings.HasPrefix(domain, "_") {
			continue
		}
		raw, _ := r.value(domain)
		value, ok := r.domain(domain, raw)
		if !ok {
			continue
		}
		d.domains[domain] = value.Selector
		hasDefault = hasDefault || len(value.Selector) == 0
	}
	if !hasDefault {
		d.domains[d.clusterLocal] = nil
	}
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return d, warnings, nil
}

func (r *reader) domain(domain, raw string) (domainValue, bool) {
	var value domainValue
	if problems := validation.IsDNS1123Subdomain(domain); len(problems) > 0 {
		r.fail(domain, "is no domain: %s", problems[0])
		return value, false
	}
	if err := yaml.UnmarshalStrict([]byte(raw), &value); err != nil {
		r.fail(domain, "is no selector: %v; write YAML such as \"selector: {app: shop}\", or nothing for the default domain", err)
		return value, false
	}
	if _, err := labels.ValidatedSelectorFromSet(value.Selector); err != nil {
		r.fail(domain, "the selector is wrong: %v", err)
		return value, false
	}
	return value, true
}
