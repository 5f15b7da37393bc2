package agents

import (
	"fmt"
	"os"
	"strings"

	"ebb.dev/ebb/cmd/ebb/agents/host"
	"ebb.dev/ebb/deploy/envoy/bootstrap"
)

// proxyOf is an Envoy of a host, for which it writes the bootstrap.
func proxyOf(h *host.Host, kind bootstrap.Kind, id string, workers int) (host.Proxy, error) {
	admin := host.AdminSocket(h.Dir, id)
	data, err := bootstrap.Encode(bootstrap.Settings{
		Kind: kind, ControlPlane: h.ControlPlane, TrustDomain: h.TrustDomain, AgentSocket: host.AgentSocket(h.Dir), AdminSocket: admin,
	})
	if err != nil {
		return host.Proxy{}, fmt.Errorf("%s: %w", id, err)
	}
	file := strings.TrimSuffix(admin, ".sock") + bootstrap.Extension
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return host.Proxy{}, fmt.Errorf("write a bootstrap: %w", err)
	}
	return host.Proxy{ID: id, Workers: workers, Bootstrap: file}, nil
}
