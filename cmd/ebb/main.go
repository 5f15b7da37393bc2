// Command ebb is all of Ebb: what users type, and every process of the platform by role.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/autoscale/simulate"
	"ebb.dev/ebb/deploy/image/imagecmd"
	"ebb.dev/ebb/deploy/local/state"
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
	add(root, "role", newControlPlaneCommand(), newGatewayCommand(), newNodeCommand(), newSidecarCommand(),
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

// newImageCommand is the image store's, with Ebb's own image beside those of users.
func newImageCommand() *cobra.Command {
	cmd := imagecmd.New(imageStore())
	cmd.AddCommand(newPlatformImageCommand())
	return cmd
}

// imageStore is the store of the default platform, or of the one that EBB_STATE names.
func imageStore() string {
	dir := os.Getenv("EBB_STATE")
	if dir == "" {
		var err error
		if dir, err = state.Default(); err != nil {
			dir = ".ebb"
		}
	}
	return filepath.Join(dir, "images")
}

func newAutoscaleCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "autoscale", Short: "Try the autoscaler"}
	cmd.AddCommand(simulate.NewCommand())
	return cmd
}
