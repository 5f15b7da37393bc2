package v1alpha1

import "slices"

// TLSForVisibility returns, for each rule of that visibility, the TLS entries that name all of its hosts.
// A rule without hosts ends the search: nothing can be said of the rules after it.
func (i *Ingress) TLSForVisibility(visibility IngressVisibility) []IngressTLS {
	var found []IngressTLS
	for _, rule := range i.Spec.Rules {
		if rule.Visibility != visibility {
			continue
		}
		if len(rule.Hosts) == 0 {
			return found
		}
		for _, tls := range i.Spec.TLS {
			if tls.covers(rule.Hosts) {
				found = append(found, tls)
			}
		}
	}
	return found
}

// covers reports whether every one of hosts is among the certificate's.
func (t *IngressTLS) covers(hosts []string) bool {
	for _, host := range hosts {
		if !slices.Contains(t.Hosts, host) {
			return false
		}
	}
	return true
}
