// Command ebb is all of Ebb: what users type, and every process of the platform by role.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{
		Use:           "ebb",
		Short:         "Knative's API on Envoy alone",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newUpCommand(), newDownCommand(), newStatusCommand(), newKubeconfigCommand(), newKubectlCommand(), newLogsCommand(),
		newControlPlaneCommand(), newGatewayCommand(), newNodeCommand())
	if err := root.Execute(); err != nil {
		if !errors.Is(err, errSilent) {
			fmt.Fprintln(os.Stderr, "ebb:", err)
		}
		os.Exit(1)
	}
}
