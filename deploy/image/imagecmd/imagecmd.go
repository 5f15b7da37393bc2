// Package imagecmd is the command line of the image store: ebb image build, import, list and rm.
//
// In: arguments. Out: changes to the store's folder, one line a result.
//
// Hard rule: the commands act on the store's folder directly; they work with nothing running, and beside everything that runs.
package imagecmd

import (
	"cmp"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ebb.dev/ebb/deploy/image"
)

// New makes the command "image". defaultStore is the store's folder unless --store names another.
func New(defaultStore string) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Build, import and list the images of this machine's store",
		Long: "Build, import and list the images of this machine's store.\n\n" +
			"An image in the store is used before any registry is asked, under any name: with\n" +
			"  ebb image build ./hello --name gcr.io/knative-samples/helloworld-go\n" +
			"manifests that name that image run yours.",
		Args: cobra.NoArgs,
	}
	cmd.PersistentFlags().StringVar(&dir, "store", defaultStore, "folder of the image store")
	open := func() (*image.Store, error) { return image.Open(dir) }
	cmd.AddCommand(newBuild(open), newImport(open), newList(open), newRemove(open))
	return cmd
}

type opener func() (*image.Store, error)

func newBuild(open opener) *cobra.Command {
	var (
		o    image.BuildOptions
		name string
		kind string
	)
	cmd := &cobra.Command{
		Use:   "build DIR|FILE --name NAME",
		Short: "Make an image from a Go main package, a static binary or a root file system, without a daemon",
		Example: "  ebb image build ./shop --name shop:v4\n" +
			"  ebb image build ./target/release/shop --name shop:v4 --port 8080\n" +
			"  ebb image build ./rootfs --name shop:v4 --entrypoint /bin/shop --entrypoint --verbose",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := open()
			if err != nil {
				return err
			}
			if o.Name, err = image.ParseRef(name); err != nil {
				return err
			}
			o.Source, o.Kind = args[0], image.Kind(kind)
			digest, err := store.Build(cmd.Context(), o)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", o.Name.Familiar(), digest)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "name of the image, for example shop:v4")
	f.StringVar(&kind, "kind", "", "what the source is: go, binary or rootfs (default: told by looking)")
	f.StringArrayVar(&o.Entrypoint, "entrypoint", nil, "program and first arguments, one flag a word (default: the program that was built)")
	f.StringArrayVar(&o.Cmd, "cmd", nil, "default arguments, one flag a word; a pod's args replace them")
	f.StringArrayVarP(&o.Env, "env", "e", nil, "KEY=value in the program's environment")
	f.StringVar(&o.User, "user", "", "user[:group] to run as (default 65532:65532, for a root file system root)")
	f.StringVar(&o.WorkingDir, "workdir", "", "directory the program starts in")
	f.StringArrayVar(&o.Ports, "port", nil, "port the program listens on, for documentation: 8080 or 8080/udp")
	f.StringToStringVar(&o.Labels, "label", nil, "label KEY=value")
	f.StringVar(&o.CACertificates, "ca-certificates", "", "file with PEM certificates the program is to trust")
	f.StringArrayVar(&o.GoFlags, "go-flag", nil, "further flag for go build, for example -tags=prod")
	_ = cmd.MarkFlagRequired("name") // fails only for a flag that does not exist
	return cmd
}

func newImport(open opener) *cobra.Command {
	var names []string
	cmd := &cobra.Command{
		Use:     "import FILE|DIR|-",
		Short:   "Take over an image: a docker save or OCI archive, an OCI layout folder, or an archive on standard input",
		Example: "  docker save shop:v4 | ebb image import -\n  ebb image import shop.tar --name shop:v4",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := open()
			if err != nil {
				return err
			}
			var refs []image.Ref
			for _, n := range names {
				ref, err := image.ParseRef(n)
				if err != nil {
					return err
				}
				refs = append(refs, ref)
			}
			imported, err := store.Import(cmd.Context(), args[0], cmd.InOrStdin(), refs...)
			if err != nil {
				return err
			}
			for _, i := range imported {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", i.Ref.Familiar(), i.Digest)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&names, "name", nil, "name to give it, instead of those in the archive; may be repeated")
	return cmd
}

func newList(open opener) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the images in the store",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := open()
			if err != nil {
				return err
			}
			entries, err := store.List()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "NAME\tDIGEST\tSIZE\tCREATED")
			for _, e := range entries {
				created := "reproducible"
				if e.Created.After(time.Unix(0, 0)) {
					created = e.Created.UTC().Format(time.DateOnly)
				}
				fmt.Fprintf(w, "%s\t%.19s\t%.1f MB\t%s\n", e.Ref.Familiar(), e.Digest, float64(e.Size)/1e6, created)
			}
			return w.Flush()
		},
	}
}

func newRemove(open opener) *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME...",
		Aliases: []string{"remove"},
		Short:   "Remove images by name; what no other image needs is deleted after an hour, unpacked files at once unless a pod runs them",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := open()
			if err != nil {
				return err
			}
			var failed error
			for _, n := range args {
				ref, err := image.ParseRef(n)
				if err == nil {
					err = store.Remove(ref)
				}
				if err != nil {
					failed = cmp.Or(failed, err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", ref.Familiar())
			}
			return failed
		},
	}
}
