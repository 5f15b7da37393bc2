package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/cmd/ebb/agents"
	"ebb.dev/ebb/deploy/image"
)

// commonFlags adds what every agent is told.
func commonFlags(cmd *cobra.Command, c *agents.Common, level *string) {
	f := cmd.Flags()
	f.StringVar(&c.ControlPlane, "control-plane", "ebb-control-plane.ebb-system.svc:15010", "HOST:PORT or unix:PATH")
	f.StringVar(&c.TrustDomain, "trust-domain", "cluster.local", "the SPIFFE trust domain")
	f.StringVar(&c.TrustFile, "trust-file", "/var/run/ebb/trust/roots.pem", "the roots to begin with")
	f.StringVar(&c.TokenFile, "token-file", "", "the token that proves who this is (default: ask the API server for one)")
	f.StringVar(&c.Kubeconfig, "kubeconfig", "", "the cluster (default: the one this pod runs in)")
	f.StringVar(&c.Dir, "dir", "/var/run/ebb/agent", "a private folder for sockets")
	f.StringVar(&c.Envoy, "envoy", besideThis("envoy"), "the Envoy to run (default: the one beside this program)")
	f.DurationVar(&c.Drain, "drain", 5*time.Second, "how long a stop waits for requests in flight")
	f.StringVar(level, "log-level", "info", "debug, info, warn or error")
}

// besideThis is a program in the folder of this one, or empty.
func besideThis(name string) string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

func newGatewayCommand() *cobra.Command {
	var o agents.GatewayOptions
	var level string
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Run a gateway: an Envoy and the agent beside it",
		Args:  cobra.NoArgs,
		RunE:  role(&o.Log, &level, func(ctx context.Context) error { return agents.Gateway(ctx, o) }),
	}
	commonFlags(cmd, &o.Common, &level)
	host, err := os.Hostname()
	if err != nil {
		host = "0"
	}
	cmd.Flags().StringVar(&o.Name, "name", "ebb", "the gateway")
	cmd.Flags().StringVar(&o.Instance, "instance", host, "this replica of it")
	cmd.Flags().IntVar(&o.Workers, "workers", runtime.NumCPU(), "Envoy's worker threads")
	return cmd
}

func newNodeCommand() *cobra.Command {
	var o agents.NodeOptions
	var light lightFlags
	var level, images, registry string
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run a node's proxies, one single-worker Envoy per core, and the agent beside them",
		Args:  cobra.NoArgs,
		RunE: role(&o.Log, &level, func(ctx context.Context) (err error) {
			if light.enabled {
				if o.Light, err = light.run(o, images); err != nil {
					return err
				}
			}
			if registry != "" {
				store, err := image.Open(images)
				if err != nil {
					return err
				}
				o.Beside = append(o.Beside, func(ctx context.Context) error {
					return agents.ServeImages(ctx, registry, image.NewRegistry(store))
				})
			}
			return agents.Node(ctx, o)
		}),
	}
	commonFlags(cmd, &o.Common, &level)
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", os.Getenv("NODE_NAME"), "the Node object's name")
	f.StringVar(&o.Address, "address", "", "where the proxies listen (default: the Node's internal address)")
	f.IntVar(&o.Proxies, "proxies", runtime.NumCPU(), "how many Envoys")
	f.StringVar(&o.DrainListen, "drain-listen", "", "where preStop hooks ask, HOST:PORT")
	f.StringVar(&o.RuntimeSocket, "runtime-socket", "", "the container runtime's CRI socket, for early word of pods")
	f.StringVar(&images, "images", imageStore(), "the local image store")
	f.StringVar(&registry, "registry-listen", "", "serve the image store as a registry, HOST:PORT")
	light.add(f)
	return cmd
}
