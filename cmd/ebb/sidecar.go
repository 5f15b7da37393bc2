package main

import (
	"context"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/cmd/ebb/agents"
	"ebb.dev/ebb/crds/networking"
)

func newSidecarCommand() *cobra.Command {
	var o agents.SidecarOptions
	var level string
	cmd := &cobra.Command{
		Use:   "sidecar",
		Short: "Run a replica's own proxy in its pod: a single-worker Envoy and the agent beside it",
		Args:  cobra.NoArgs,
		RunE:  role(&o.Log, &level, func(ctx context.Context) error { return agents.Sidecar(ctx, o) }),
	}
	commonFlags(cmd, &o.Common, &level)
	f := cmd.Flags()
	f.StringVar(&o.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "the pod's namespace")
	f.StringVar(&o.Pod, "pod", os.Getenv("POD_NAME"), "the pod's name")
	f.StringVar(&o.UID, "uid", os.Getenv("POD_UID"), "the pod's UID")
	f.StringVar(&o.IP, "ip", os.Getenv("POD_IP"), "the pod's address")
	f.StringVar(&o.Listen, "kubelet-listen", ":"+strconv.Itoa(networking.ReplicaAdminPort), "where the kubelet asks for readiness and before a stop, HOST:PORT")
	return cmd
}
