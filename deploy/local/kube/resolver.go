package kube

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
)

// hostResolver is where the machine says whom it asks.
const hostResolver = "/etc/resolv.conf"

// forwarders are whom the cluster's DNS asks for all other names: the machine's name servers if there is a way to them.
func forwarders(uplink bool) []string {
	data, err := os.ReadFile(hostResolver)
	if err != nil || !uplink {
		return nil
	}
	return nameservers(data)
}

// resolverContent is the resolv.conf of pods that use the machine's DNS: its servers without its search domains. Servers on the machine's
// loopback are out of a pod's reach and left out.
func resolverContent(uplink bool) []byte {
	var b bytes.Buffer
	for _, server := range forwarders(uplink) {
		if ip := net.ParseIP(server); ip != nil && !ip.IsLoopback() {
			fmt.Fprintf(&b, "nameserver %s\n", server)
		}
	}
	return b.Bytes()
}

// nameservers are the IP addresses a resolv.conf names.
func nameservers(data []byte) []string {
	var out []string
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if ip := net.ParseIP(fields[1]); ip != nil {
			out = append(out, ip.String())
		}
	}
	return out
}
