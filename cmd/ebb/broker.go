package main

import (
	"context"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/cmd/ebb/broker"
	"ebb.dev/ebb/cmd/ebb/role"
)

func newBrokerCommand() *cobra.Command {
	var o broker.Options
	var level string
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Run the event broker: controllers, ingress, log and dispatcher",
		Args:  cobra.NoArgs,
		RunE:  role.Run(&o.Log, &level, func(ctx context.Context) error { return broker.Run(ctx, o) }),
	}
	f := cmd.Flags()
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "the cluster (default: the one this pod runs in)")
	f.StringVar(&o.Dir, "dir", "", "the folder of the embedded log")
	f.StringVar(&o.URL, "nats", "", "the URL of a NATS with JetStream, instead of the embedded log")
	f.BoolVar(&o.Relaxed, "relaxed", false, "answer 202 before the disk has the event: a crash of the machine loses up to the last second")
	f.StringVar(&o.Listen, "listen", ":8080", "where events are taken, HOST:PORT")
	f.StringVar(&o.Advertise, "advertise", "", "the address by which gateways reach it (default: a Service ebb-events leads to it)")
	f.StringVar(&o.Gateway, "gateway", "", "where the internal gateway listens, HOST:PORT; deliveries inside the cluster go there")
	f.StringVar(&o.GatewayHost, "gateway-host", "ebb-gateway-internal.ebb-system.svc.cluster.local", "its DNS name")
	f.StringVar(&o.ClusterDomain, "cluster-domain", "cluster.local", "the DNS domain of Services")
	f.StringVar(&o.Domain, "domain", "", "take events from outside too, at broker-ingress.knative-eventing and this domain")
	f.StringVar(&o.ControlPlane, "control-plane", "", "tell the autoscaler what waits: the control plane's HOST:PORT or unix:PATH")
	f.StringVar(&o.TrustDomain, "trust-domain", "cluster.local", "the SPIFFE trust domain")
	f.StringVar(&o.TrustFile, "trust-file", "/var/run/ebb/trust/roots.pem", "the roots to believe the control plane by")
	f.StringVar(&o.TokenFile, "token-file", "", "the token that proves to it who this is (default: ask the API server for one)")
	f.StringVar(&o.DebugListen, "debug-listen", "", "serve metrics, health and debug pages: HOST:PORT or unix:PATH")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}
