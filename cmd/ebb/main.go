// Command ebb is all of Ebb: what users type, and every process of the platform by role.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/autoscale/simulate"
	"ebb.dev/ebb/cmd/ebb/agents/sidecar"
	"ebb.dev/ebb/deploy/image/imagecmd"
)

func main() {
	root := &cobra.Command{
		Use:           "ebb",
		Short:         "Knative's API on Envoy alone",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddGroup(&cobra.Group{ID: "local", Title: "This machine's platform:"},
		&cobra.Group{ID: "look", Title: "Looking and trying:"}, &cobra.Group{ID: "role", Title: "Processes, by role:"})
	add(root, "local", newUpCommand(), newDownCommand(), newStatusCommand(), newKubeconfigCommand(), newKubectlCommand(), newLogsCommand(),
		newImageCommand())
	add(root, "look", newEventsCommand(), newAsyncCommand(), newXDSCommand(), newAutoscaleCommand(), newVersionCommand())
	add(root, "role", newControlPlaneCommand(), newGatewayCommand(), newNodeCommand(), sidecar.Command("sidecar"),
		newBrokerCommand())
	if err := root.Execute(); err != nil {
		if !errors.Is(err, errSilent) {
			fmt.Fprintln(os.Stderr, "ebb:", err)
		}
		os.Exit(1)
	}
}

func add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.GroupID = group
		root.AddCommand(cmd)
	}
}

// newImageCommand is the image store's, with Ebb's own image beside those of users. --state names a platform's store, as everywhere.
func newImageCommand() *cobra.Command {
	cmd := imagecmd.New(imageStore())
	cmd.AddCommand(newPlatformImageCommand())
	var dir string
	cmd.PersistentFlags().StringVar(&dir, "state", stateDefault(), "the state folder whose store is meant (or set EBB_STATE)")
	cmd.MarkFlagsMutuallyExclusive("state", "store")
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if !cmd.Flags().Changed("state") {
			return nil
		}
		// Not Flags().Set: that would count as given, beside --state.
		return cmd.Flags().Lookup("store").Value.Set(storeIn(dir))
	}
	return cmd
}

// imageStore is the store of the default platform, or of the one that EBB_STATE names.
func imageStore() string { return storeIn(stateDefault()) }

func storeIn(dir string) string { return filepath.Join(dir, "images") }

func newAutoscaleCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "autoscale", Short: "Try the autoscaler"}
	cmd.AddCommand(simulate.NewCommand())
	return cmd
}
