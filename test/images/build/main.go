// Command build puts the test images into an image store: go run ./test/images/build --store DIR.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/test/images/builder"
	"ebb.dev/ebb/test/images/catalog"
)

func main() {
	dir := flag.String("store", "", "folder of the image store")
	source := flag.String("source", filepath.Join("test", "images"), "folder of the programs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *source); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, source string) error {
	if dir == "" {
		return fmt.Errorf("--store is missing: name the folder of the image store")
	}
	store, err := image.Open(dir)
	if err != nil {
		return err
	}
	for _, i := range catalog.Images {
		digest, err := builder.Build(ctx, store, source, i)
		if err != nil {
			return err
		}
		fmt.Printf("%s  %s\n", i.Name, digest)
	}
	return nil
}
