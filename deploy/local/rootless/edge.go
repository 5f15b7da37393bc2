package rootless

import (
	"encoding/json"
	"strconv"
)

// Edge is the static bootstrap of the Envoy outside: what arrives at 127.0.0.1:port goes, as it is, to the unix socket that the gateway
// inside listens on. Its admin interface is a unix socket too.
func Edge(port int, gatewaySocket, adminSocket string) ([]byte, error) {
	pipe := func(path string) map[string]any {
		return map[string]any{"pipe": map[string]any{"path": path, "mode": 0o600}}
	}
	proxy := map[string]any{
		"@type":       "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
		"stat_prefix": "edge", "cluster": "gateway",
		// Streams and WebSockets may be silent for as long as they like; their own limits are the gateway's.
		"idle_timeout": "0s",
	}
	return json.MarshalIndent(map[string]any{
		"node":  map[string]any{"id": "edge", "cluster": "edge"},
		"admin": map[string]any{"address": pipe(adminSocket)},
		"static_resources": map[string]any{
			"listeners": []any{map[string]any{
				"name":          "edge|" + strconv.Itoa(port),
				"address":       map[string]any{"socket_address": map[string]any{"address": "127.0.0.1", "port_value": port}},
				"filter_chains": []any{map[string]any{"filters": []any{map[string]any{"name": "tcp_proxy", "typed_config": proxy}}}},
			}},
			"clusters": []any{map[string]any{
				"name": "gateway", "type": "STATIC", "connect_timeout": "1s",
				"load_assignment": map[string]any{"cluster_name": "gateway", "endpoints": []any{map[string]any{
					"lb_endpoints": []any{map[string]any{"endpoint": map[string]any{"address": map[string]any{"pipe": map[string]any{"path": gatewaySocket}}}}},
				}}},
			}},
		},
	}, "", "  ")
}
