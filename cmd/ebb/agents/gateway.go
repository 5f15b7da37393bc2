package agents

import (
	"context"

	"ebb.dev/ebb/cmd/ebb/agents/host"
	"ebb.dev/ebb/deploy/envoy/bootstrap"
	"ebb.dev/ebb/xds/identity"
)

// GatewayOptions are those of `ebb gateway`.
type GatewayOptions struct {
	host.Common
	// Name is the gateway's, Instance tells its replicas apart.
	Name, Instance string
	// Workers is the number of Envoy's worker threads.
	Workers int
}

// Gateway runs a gateway until the context ends.
func Gateway(ctx context.Context, o GatewayOptions) error {
	token, err := Token(o.TokenFile, o.Kubeconfig, identity.DefaultAccounts().Gateway, "")
	if err != nil {
		return err
	}
	h, err := host.New(o.Common, o.Name, token)
	if err != nil {
		return err
	}
	proxy, err := proxyOf(h, bootstrap.Gateway, "gateway/"+o.Name+"/"+o.Instance, o.Workers)
	if err != nil {
		return err
	}
	return h.Run(ctx, []host.Proxy{proxy})
}
