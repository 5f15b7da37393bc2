package sidecar

import (
	"context"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/cmd/ebb/role"
	"ebb.dev/ebb/crds/networking"
)

// Command is the sidecar's, under the name of its program or subcommand.
func Command(name string) *cobra.Command {
	var o Options
	var level string
	cmd := &cobra.Command{
		Use:   name,
		Short: "Run a replica's own proxy in its pod: a single-worker Envoy and the agent beside it",
		Args:  cobra.NoArgs,
		RunE:  role.Run(&o.Log, &level, func(ctx context.Context) error { return Run(ctx, o) }),
	}
	f := cmd.Flags()
	o.Flags(f, &level)
	f.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "the pod's namespace")
	f.StringVar(&o.Pod, "pod", os.Getenv("POD_NAME"), "the pod's name")
	f.StringVar(&o.UID, "uid", os.Getenv("POD_UID"), "the pod's UID")
	f.StringVar(&o.IP, "ip", os.Getenv("POD_IP"), "the pod's address")
	f.StringVar(&o.Bootstrap, "bootstrap", "", "what the Envoy starts with, as the control plane wrote it")
	f.StringVar(&o.Listen, "kubelet-listen", ":"+strconv.Itoa(networking.ReplicaAdminPort), "where the kubelet asks for readiness and before a stop, HOST:PORT")
	app, err := strconv.ParseUint(os.Getenv("APP_PORT"), 10, 16)
	if err != nil {
		app = 0 // ParseUint gives the greatest port for one that is none
	}
	f.Uint16Var(&o.AppPort, "app-port", uint16(app), "where the app listens, so that the control plane hears of it at once; 0 leaves that to the pod's status")
	return cmd
}
