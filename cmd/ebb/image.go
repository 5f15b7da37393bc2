package main

import (
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ociv1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"ebb.dev/ebb/cmd/ebb/agents/host"
	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/deploy/image/bundle"
)

// newPlatformImageCommand adds Ebb's own image to `ebb image`.
func newPlatformImageCommand() *cobra.Command {
	var written, envoy string
	var push bool
	cmd := &cobra.Command{
		Use:   "platform --name NAME",
		Short: "Make Ebb's own image: this program and Envoy, for every process of a cluster and for sidecars",
		Example: "  ebb image platform --name registry.example.org/ebb:v1 --push\n" +
			"  ebb image platform --name ebb:dev",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := cmd.Flags().GetString("store")
			if err != nil {
				return err
			}
			store, err := image.Open(dir)
			if err != nil {
				return err
			}
			ref, err := image.ParseRef(written)
			if err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			if envoy == "" {
				return fmt.Errorf("no envoy beside %s: give --envoy, or get the pinned one with: make bin/envoy", self)
			}
			digest, err := bundle.Build(cmd.Context(), store, ref, bundle.Ebb(self, envoy))
			if err != nil {
				return err
			}
			if push {
				if err := pushImage(cmd, dir, ref, digest); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s@%s\n", ref.Name(), digest)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&written, "name", "", "name of the image, for example registry.example.org/ebb:v1")
	f.StringVar(&envoy, "envoy", host.Beside("envoy"), "the Envoy to put in (default: the one beside this program)")
	f.BoolVar(&push, "push", false, "push it to the registry of its name, with the credentials that docker or podman logged in with")
	_ = cmd.MarkFlagRequired("name") // fails only for a flag that does not exist
	return cmd
}

// pushImage sends an image of the store, an OCI layout, to its registry.
func pushImage(cmd *cobra.Command, dir string, ref image.Ref, digest ociv1.Hash) error {
	store, err := layout.FromPath(dir)
	if err != nil {
		return fmt.Errorf("push %s: %w", ref.Name(), err)
	}
	tag, err := name.ParseReference(ref.Name() + ":" + ref.Tag)
	if err != nil {
		return fmt.Errorf("push %s: %w", ref.Name(), err)
	}
	made, err := store.Image(digest)
	if err != nil {
		return fmt.Errorf("push %s: %w", ref.Name(), err)
	}
	if err := remote.Write(tag, made, remote.WithContext(cmd.Context()), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("push %s: %w", tag, err)
	}
	return nil
}
