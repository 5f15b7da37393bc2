package model

import (
	"fmt"
	"strings"
)

// WorkloadID is the SPIFFE ID of pods that run under a service account.
func WorkloadID(trustDomain, namespace, serviceAccount string) string {
	return "spiffe://" + trustDomain + "/ns/" + namespace + "/sa/" + serviceAccount
}

// Role is what one of Ebb's own processes is.
type Role string

// The roles that have identities of their own.
const (
	RoleGateway      Role = "gateway"
	RoleNode         Role = "node"
	RoleControlPlane Role = "control-plane"
	RoleBroker       Role = "broker"
)

// EbbID is the SPIFFE ID of a process of ours: spiffe://TRUST_DOMAIN/ebb/ROLE/NAME. The control plane and the event broker have no name.
func EbbID(trustDomain string, role Role, name string) string {
	id := "spiffe://" + trustDomain + "/ebb/" + string(role)
	if name != "" {
		id += "/" + name
	}
	return id
}

// Identity is a parsed SPIFFE ID of ours: either a workload (Account) or a process (Role and Name).
type Identity struct {
	Account Key
	Role    Role
	Name    string
}

// IsWorkload reports whether the identity is a pod's.
func (i Identity) IsWorkload() bool { return i.Role == "" }

// IsIDPart reports whether a name can be part of a SPIFFE ID's path: letters, digits, dots, dashes and underscores.
func IsIDPart(name string) bool {
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return name != "" && name != "." && name != ".."
}

// ParseID reads a SPIFFE ID of the trust domain.
func ParseID(trustDomain, id string) (Identity, error) {
	path, ok := strings.CutPrefix(id, "spiffe://"+trustDomain+"/")
	if !ok {
		return Identity{}, fmt.Errorf("%q is not of the trust domain %s", id, trustDomain)
	}
	parts := strings.Split(path, "/")
	for _, part := range parts {
		if !IsIDPart(part) {
			return Identity{}, fmt.Errorf("%q has a part that no SPIFFE ID has: %q", id, part)
		}
	}
	switch {
	case len(parts) == 4 && parts[0] == "ns" && parts[2] == "sa":
		return Identity{Account: Key{Namespace: parts[1], Name: parts[3]}}, nil
	case len(parts) == 3 && parts[0] == "ebb" && (Role(parts[1]) == RoleGateway || Role(parts[1]) == RoleNode):
		return Identity{Role: Role(parts[1]), Name: parts[2]}, nil
	case len(parts) == 2 && parts[0] == "ebb" && (Role(parts[1]) == RoleControlPlane || Role(parts[1]) == RoleBroker):
		return Identity{Role: Role(parts[1])}, nil
	}
	return Identity{}, fmt.Errorf("%q is no identity that Ebb issues", id)
}
