package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/cmd/ebb/agents/host"
	"ebb.dev/ebb/cmd/ebb/controlplane"
	"ebb.dev/ebb/cmd/ebb/role"
	"ebb.dev/ebb/xds/model"
)

func newControlPlaneCommand() *cobra.Command {
	var o controlplane.Options
	var external, internal []string
	var level string
	cmd := &cobra.Command{
		Use:   "control-plane",
		Short: "Run the control plane: reconcilers, autoscaler, xDS, hold, identities",
		Args:  cobra.NoArgs,
		RunE: role.Run(&o.Log, &level, func(ctx context.Context) (err error) {
			if o.External, err = addresses(external); err != nil {
				return fmt.Errorf("--external: %w", err)
			}
			if o.Internal, err = addresses(internal); err != nil {
				return fmt.Errorf("--internal: %w", err)
			}
			return controlplane.Run(ctx, o)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "the cluster (default: the one this pod runs in)")
	f.StringSliceVar(&o.Listen, "listen", []string{":15010"}, "where proxies and agents connect: HOST:PORT or unix:PATH")
	f.StringSliceVar(&o.DNS, "dns", nil, "names by which they dial it")
	f.StringVar(&o.TrustDomain, "trust-domain", "cluster.local", "the SPIFFE trust domain")
	f.StringVar(&o.CAFile, "ca-file", "", "keep the CA in this file (default: the Secret ebb-system/ebb-ca)")
	f.StringVar(&o.TrustFile, "trust-file", "", "write the roots here for agents (default: the ConfigMap ebb-system/ebb-trust)")
	f.StringSliceVar(&external, "external", []string{"0.0.0.0:8080"}, "addresses gateways listen on for clients outside")
	f.StringSliceVar(&internal, "internal", []string{"0.0.0.0:8081"}, "addresses gateways listen on for pods")
	f.StringVar(&o.ExternalPipe, "external-pipe", "", "a unix socket gateways listen on too")
	f.IntVar(&o.ExternalPort, "external-port", 80, "the port shown in URLs")
	f.StringVar(&o.InternalHost, "internal-host", "ebb-gateway-internal.ebb-system.svc.cluster.local", "the DNS name of the internal gateway")
	f.StringVar(&o.InternalAddress, "internal-address", "", "make the internal gateway's Service, with this address")
	f.StringVar(&o.ClusterDomain, "cluster-domain", "cluster.local", "the DNS domain of Services")
	f.StringVar(&o.Domain, "domain", "", "the default domain of routes, written when config-domain is made")
	f.StringVar(&o.ReplicaProxy, "replica-proxy", "sidecar", "where replicas' Envoys run by default: node or sidecar")
	f.StringVar(&o.SidecarImage, "sidecar-image", "", "the image of sidecars, with ebb-sidecar and envoy (default: that of this pod; outside of a cluster one that is made)")
	f.StringVar(&o.Envoy, "envoy", host.Beside("envoy"), "the Envoy for such an image (default: the one beside this program)")
	f.StringVar(&o.RuntimeSocket, "runtime-socket", "", "the container runtime's CRI socket, which unpacks such an image ahead of its first pod")
	f.StringVar(&o.SidecarControlPlane, "sidecar-control-plane", "", "where sidecars dial, HOST:PORT (default: the Service ebb-control-plane in ebb-system)")
	f.StringVar(&o.DrainAddress, "drain-address", "", "where preStop hooks ask on their node, HOST:PORT")
	f.StringVar(&o.WebhookListen, "webhook-listen", "127.0.0.1:0", "where admission is served")
	f.StringVar(&o.WebhookService, "webhook-service", "", "the Service in ebb-system before it (default: a URL on loopback)")
	f.StringVar(&o.DebugListen, "debug-listen", "", "serve metrics, health and debug pages: HOST:PORT or unix:PATH")
	f.BoolVar(&o.Install, "install", true, "install kinds, ConfigMaps and namespaces")
	f.BoolVar(&o.LeaderElect, "leader-elect", false, "let one of several control planes write")
	f.StringVar(&o.Images, "images", "", "the local image store")
	f.StringVar(&o.EgressSocket, "egress-socket", "", "a unix socket that dials for this process")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// addresses reads a list of HOST:PORT.
func addresses(list []string) ([]model.Address, error) {
	var out []model.Address
	for _, text := range list {
		if strings.TrimSpace(text) == "" {
			continue
		}
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not HOST:PORT: %w", text, err)
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%q: port: %w", text, err)
		}
		out = append(out, model.Address{Host: host, Port: uint32(number)})
	}
	return out, nil
}
