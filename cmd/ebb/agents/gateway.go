package agents

import (
	"context"

	"ebb.dev/ebb/deploy/envoy/bootstrap"
	"ebb.dev/ebb/xds/identity"
)

// GatewayOptions are those of `ebb gateway`.
type GatewayOptions struct {
	Common
	// Name is the gateway's, Instance tells its replicas apart.
	Name, Instance string
	// Workers is the number of Envoy's worker threads.
	Workers int
}

// Gateway runs a gateway until the context ends.
func Gateway(ctx context.Context, o GatewayOptions) error {
	token, err := o.token(identity.DefaultAccounts().Gateway, "")
	if err != nil {
		return err
	}
	h, err := newHost(o.Common, o.Name, token)
	if err != nil {
		return err
	}
	return h.run(ctx, []proxy{{kind: bootstrap.Gateway, id: "gateway/" + o.Name + "/" + o.Instance, workers: o.Workers}})
}
