package route

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/crds/networking"
	networkingv1alpha1 "ebb.dev/ebb/crds/networking/v1alpha1"
	servingv1 "ebb.dev/ebb/crds/serving/v1"
)

// hosts are the names that a Route answers to, and what is behind them.
type hosts struct {
	route  *servingv1.Route
	config *config.Set
	// local are the tags that only the cluster reaches; the Route's own host is tag "".
	local map[string]bool
	// externalPort is the gateway's, for clients outside; 0 is the scheme's own.
	externalPort int32
	// revisions say what is spoken behind the hosts.
	revisions map[string]*servingv1.Revision
}

// name is what a tag's host and Service are called after.
func (h hosts) name(tag string) (string, error) {
	if tag == defaultTag {
		return h.route.Name, nil
	}
	name, err := h.config.Network.Tag(config.TagValues{Name: h.route.Name, Tag: tag})
	if err != nil {
		return "", fmt.Errorf("domain name error: %w", err)
	}
	return name, nil
}

// host is a tag's host for clients inside the cluster, or outside.
func (h hosts) host(tag string, inside bool) (string, error) {
	name, err := h.name(tag)
	if err != nil {
		return "", err
	}
	if inside {
		return name + "." + h.route.Namespace + "." + h.config.Domain.ClusterLocal(), nil
	}
	labels := maps.Clone(h.route.Labels)
	delete(labels, networking.VisibilityLabelKey)
	host, err := h.config.Network.Domain(config.DomainValues{
		Name: name, Namespace: h.route.Namespace, Domain: h.config.Domain.For(labels), Annotations: h.route.Annotations, Labels: labels,
	})
	if err != nil {
		return "", fmt.Errorf("domain name error: %w", err)
	}
	if problems := validation.IsFullyQualifiedDomainName(field.NewPath("url"), host); len(problems) > 0 {
		return "", fmt.Errorf("domain name error: invalid domain name %q: %w; change domain-template or tag-template in %s",
			host, problems.ToAggregate(), config.ObjectName(config.NetworkName))
	}
	return host, nil
}

// url is where clients reach a tag: from outside, unless only the cluster does.
func (h hosts) url(tag string) (string, error) {
	inside := h.local[tag]
	host, err := h.host(tag, inside)
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: "http", Host: host}
	if !inside {
		u.Scheme = h.config.Network.DefaultExternalScheme
		if port := h.externalPort; port != 0 && port != defaultPort(u.Scheme) {
			u.Host = net.JoinHostPort(host, strconv.Itoa(int(port)))
		}
	}
	return u.String(), nil
}

func defaultPort(scheme string) int32 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// insideHosts are all names of a tag inside the cluster, short and long, sorted.
func (h hosts) insideHosts(tag string) ([]string, error) {
	long, err := h.host(tag, true)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, suffix := range []string{".svc." + h.config.ClusterDomain, "." + h.config.ClusterDomain, ""} {
		if name := strings.TrimSuffix(long, suffix); !onlyDigits(name[strings.LastIndex(name, ".")+1:]) {
			names = append(names, name)
		}
	}
	return names, nil
}

// onlyDigits reports whether a name's last part is a number: it would be taken for an address.
func onlyDigits(part string) bool {
	return strings.Trim(part, "0123456789") == ""
}

// visible says who reaches a tag's rules.
func visible(inside bool) networkingv1alpha1.IngressVisibility {
	if inside {
		return networkingv1alpha1.IngressVisibilityClusterLocal
	}
	return networkingv1alpha1.IngressVisibilityExternalIP
}
