package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/xds/envoy"
	"ebb.dev/ebb/xds/render"
)

func newXDSCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "xds", Short: "Look at what Envoys are told"}
	cmd.AddCommand(newRenderCommand())
	return cmd
}

func newRenderCommand() *cobra.Command {
	var file string
	options := envoy.Options{}
	cmd := &cobra.Command{
		Use:   "render -f FILE",
		Short: "Show what Envoys would get for Ingresses, Revisions, Nodes, Pods, Services and EndpointSlices",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := open(file)
			if err != nil {
				return err
			}
			defer in.Close()
			out, err := render.Render(in, options)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			_, err = cmd.OutOrStdout().Write(out)
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "-", "YAML documents, - for standard input")
	cmd.Flags().StringVar(&options.TrustDomain, "trust-domain", "cluster.local", "the SPIFFE trust domain")
	return cmd
}

func open(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(file)
}
