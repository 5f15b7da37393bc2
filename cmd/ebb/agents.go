package main

import (
	"context"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/cmd/ebb/agents"
	"ebb.dev/ebb/cmd/ebb/role"
	"ebb.dev/ebb/deploy/image"
)

func newGatewayCommand() *cobra.Command {
	var o agents.GatewayOptions
	var level string
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Run a gateway: an Envoy and the agent beside it",
		Args:  cobra.NoArgs,
		RunE:  role.Run(&o.Log, &level, func(ctx context.Context) error { return agents.Gateway(ctx, o) }),
	}
	o.Common.Flags(cmd.Flags(), &level)
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
		RunE: role.Run(&o.Log, &level, func(ctx context.Context) (err error) {
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
	o.Common.Flags(cmd.Flags(), &level)
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
