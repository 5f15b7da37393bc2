package store

import (
	"reflect"
	"slices"

	"ebb.dev/ebb/xds/model"
)

// claim is what one object asks for: the virtual hosts it would have if nobody else wanted their names.
type claim struct {
	owner  model.Owner
	wanted []*model.VHost
}

// SetVHosts makes these the virtual hosts that an object asks for; none withdraws them all. A host name that several ask
// for is the oldest object's (of one age: the first by name), whatever order they come in. The others are served without
// it, and get it when it is free. The names that this object does not get are returned.
func (tx *Tx) SetVHosts(owner model.Owner, wanted []*model.VHost) (refused []string) {
	affected := map[model.Owner]bool{owner: true}
	if old, ok := first[*claim](tx.View, claims, owner.String()); ok {
		tx.rivals(affected, old.wanted)
	}
	tx.drop(claims, owner.String())
	if len(wanted) > 0 {
		r := &row[*claim]{ID: owner.String(), Value: &claim{owner, wanted}, Refs: map[string][]string{}}
		for _, vhost := range wanted {
			r.Refs["domain"] = append(r.Refs["domain"], domainsOf(vhost)...)
		}
		tx.put(claims, r)
	}
	tx.rivals(affected, wanted)
	for other := range affected {
		if without := tx.serve(other); other == owner {
			refused = without
		}
	}
	return refused
}

// rivals adds who asks for a name of these virtual hosts.
func (tx *Tx) rivals(to map[model.Owner]bool, of []*model.VHost) {
	for _, vhost := range of {
		for _, name := range domainsOf(vhost) {
			for _, rival := range list[*claim](tx.View, claims, "domain", name) {
				to[rival.owner] = true
			}
		}
	}
}

// serve makes an owner's virtual hosts those that it may have of those it asks for, and returns the host names it lacks.
func (tx *Tx) serve(owner model.Owner) (without []string) {
	keep := map[string]bool{}
	if asked, ok := first[*claim](tx.View, claims, owner.String()); ok {
		for _, vhost := range asked.wanted {
			granted, refused := tx.grant(vhost)
			without = append(without, refused...)
			if granted == nil {
				continue
			}
			keep[granted.Name] = true
			if old, ok := tx.VHost(granted.Name); ok && reflect.DeepEqual(old, granted) {
				continue
			}
			tx.put(vhosts, vhostRow(granted))
			tx.touched.VHosts[granted.Name] = struct{}{}
		}
	}
	for _, old := range tx.VHostsOf(owner) {
		if !keep[old.Name] {
			tx.drop(vhosts, old.Name)
			tx.touched.VHosts[old.Name] = struct{}{}
		}
	}
	return without
}

// grant returns a virtual host with the names that it may have, or nil when it has none.
func (tx *Tx) grant(vhost *model.VHost) (granted *model.VHost, refused []string) {
	var domains []string
	for _, domain := range vhost.Domains {
		if tx.holder(vhost.Config, domain) == vhost.Owner {
			domains = append(domains, domain)
		} else {
			refused = append(refused, domain)
		}
	}
	switch {
	case len(refused) == 0:
		return vhost, nil
	case len(domains) == 0:
		return nil, refused
	}
	out := *vhost
	out.Name, out.Domains = model.VHostName(vhost.Config, domains[0]), domains
	return &out, refused
}

// holder is whose a name is, of those who ask for it.
func (tx *Tx) holder(config model.RouteConfig, domain string) model.Owner {
	var best *model.VHost
	for _, asking := range list[*claim](tx.View, claims, "domain", model.VHostName(config, domain)) {
		for _, vhost := range asking.wanted {
			if vhost.Config == config && slices.Contains(vhost.Domains, domain) && (best == nil || precedes(vhost, best)) {
				best = vhost
			}
		}
	}
	if best == nil {
		return model.Owner{}
	}
	return best.Owner
}

func precedes(a, b *model.VHost) bool {
	if !a.Since.Equal(b.Since) {
		return a.Since.Before(b.Since)
	}
	return a.Owner.String() < b.Owner.String()
}

// domainsOf are a virtual host's names as they are unique: with the route configuration.
func domainsOf(vhost *model.VHost) []string {
	out := make([]string, 0, len(vhost.Domains))
	for _, domain := range vhost.Domains {
		out = append(out, model.VHostName(vhost.Config, domain))
	}
	return out
}

func vhostRow(vhost *model.VHost) *row[*model.VHost] {
	clusters := map[string]bool{}
	r := &row[*model.VHost]{ID: vhost.Name, Value: vhost, Refs: map[string][]string{"owner": {vhost.Owner.String()}}}
	for _, route := range vhost.Routes {
		for _, split := range route.Splits {
			if !clusters[split.Cluster] {
				clusters[split.Cluster] = true
				r.Refs["cluster"] = append(r.Refs["cluster"], split.Cluster)
			}
		}
	}
	r.Refs["domain"] = domainsOf(vhost)
	return r
}
