package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/deploy/local/kube"
)

// parts are the modules whose versions say what Ebb is made of.
var parts = []string{
	"github.com/envoyproxy/go-control-plane", "github.com/envoyproxy/go-control-plane/envoy", "google.golang.org/grpc",
	"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/prometheus/client_golang",
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show what this program is made of",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return fmt.Errorf("this program carries no build information")
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "ebb         %s (%s)\nkubernetes  %s (embedded)\n", info.Main.Version, info.GoVersion, kube.Version)
			for _, module := range info.Deps {
				for _, part := range parts {
					if module.Path == part {
						fmt.Fprintf(out, "%-45s %s\n", module.Path, module.Version)
					}
				}
			}
			return nil
		},
	}
}
