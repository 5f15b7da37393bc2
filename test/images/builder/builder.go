// Package builder builds a test image of the catalog into a store.
//
// In: a store, the folder of the sources, an entry. Out: the image's digest; the same sources give the same.
package builder

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	ociv1 "github.com/google/go-containerregistry/pkg/v1"

	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/test/images/catalog"
)

// Build builds one image. source is the folder test/images.
func Build(ctx context.Context, store *image.Store, source string, i catalog.Image) (ociv1.Hash, error) {
	ref, err := image.ParseRef(i.Name)
	if err != nil {
		return ociv1.Hash{}, err
	}
	o := image.BuildOptions{Source: filepath.Join(source, i.Dir), Name: ref, Kind: image.KindGo, Ports: []string{"8080"}}
	if !i.Shell {
		return store.Build(ctx, o)
	}
	root, err := os.MkdirTemp("", "ebb-image-")
	if err != nil {
		return ociv1.Hash{}, err
	}
	defer os.RemoveAll(root)
	if err := layOut(ctx, root, source, i.Dir); err != nil {
		return ociv1.Hash{}, fmt.Errorf("image %s: %w", i.Name, err)
	}
	o.Source, o.Kind, o.Ports = root, image.KindRootfs, nil
	o.Entrypoint = []string{"/bin/" + filepath.Base(i.Dir)}
	return store.Build(ctx, o)
}

// layOut makes a root file system of the program and the shell.
func layOut(ctx context.Context, root, source, program string) error {
	for _, d := range []string{"bin", "etc", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(root, "tmp"), os.ModeSticky|0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/:/bin/sh\n"), 0o644); err != nil {
		return err
	}
	for _, dir := range []string{program, "hey/sh"} {
		out := filepath.Join(root, "bin", filepath.Base(dir))
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, ".")
		cmd.Dir = filepath.Join(source, dir)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", dir, err, output)
		}
	}
	return nil
}
