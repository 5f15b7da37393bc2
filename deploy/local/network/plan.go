package network

import (
	"fmt"
	"net"
	"net/netip"
)

// Plan is the pod network of one instance. Everything follows from its number.
type Plan struct {
	// Index is 0 to 255.
	Index int
}

// ServiceCIDR is where the addresses of Services are; kube-proxy turns them into pod addresses.
const ServiceCIDR = "10.96.0.0/16"

// ServiceAddress is the address of Service default/kubernetes: the first of ServiceCIDR.
const ServiceAddress = "10.96.0.1"

// Bridge is the name of the bridge device.
func (p Plan) Bridge() string { return fmt.Sprintf("ebb%d", p.Index) }

// CIDR holds the pods and the bridge.
func (p Plan) CIDR() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(p.Index), 0}), 24)
}

// Address is the bridge's own: the node's address, the pods' gateway and name server.
func (p Plan) Address() netip.Addr { return netip.AddrFrom4([4]byte{10, 244, byte(p.Index), 1}) }

// MAC is the bridge's hardware address. A bridge without a fixed one takes the lowest of its ports', and pods lose their gateway for a
// while each time a pod with a lower one comes or goes.
func (p Plan) MAC() net.HardwareAddr {
	return net.HardwareAddr{0x0a, 0xeb, 0xb0, 244, byte(p.Index), 1}
}

// chain names our own chains of a table.
func (p Plan) chain(purpose string) string { return fmt.Sprintf("EBB%d-%s", p.Index, purpose) }

// rules is what iptables-restore gets to put our rules in place. It may be applied again: chains are emptied first.
//
// Pods reach each other, the host and the world; from outside only answers come in. Nothing but this machine and its pods reaches the
// bridge's address or a pod, whatever routes others may have set.
func (p Plan) rules(masquerade bool) string {
	fwd, in, post := p.chain("FORWARD"), p.chain("INPUT"), p.chain("POSTROUTING")
	bridge, cidr := p.Bridge(), p.CIDR()
	s := fmt.Sprintf(`*filter
:%[1]s - [0:0]
:%[2]s - [0:0]
-A %[1]s -i %[3]s -j ACCEPT
-A %[1]s -o %[3]s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A %[1]s -o %[3]s -j DROP
-A %[2]s -i %[3]s -j ACCEPT
-A %[2]s -i lo -j RETURN
-A %[2]s -d %[4]s -j DROP
COMMIT
*nat
:%[5]s - [0:0]
`, fwd, in, bridge, cidr, post)
	if masquerade {
		s += fmt.Sprintf("-A %s -s %s ! -d %s ! -o %s -j MASQUERADE\n", post, cidr, cidr, bridge)
	}
	return s + "COMMIT\n"
}

// hook is a rule that sends packets from a built-in chain to one of ours.
type hook struct{ table, from, to string }

func (p Plan) hooks() []hook {
	return []hook{
		{"filter", "FORWARD", p.chain("FORWARD")},
		{"filter", "INPUT", p.chain("INPUT")},
		{"nat", "POSTROUTING", p.chain("POSTROUTING")},
	}
}
