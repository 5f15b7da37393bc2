package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	ociv1 "github.com/google/go-containerregistry/pkg/v1"

	"ebb.dev/ebb/deploy/image"
)

// Repository is how the image of sidecars is called on a machine that makes it itself.
const Repository = "ebb.dev/ebb-sidecar"

// Ebb are the programs of Ebb's own image: what every process of a cluster runs. The first is what it starts. ebb-sidecar lies beside one of
// these two.
func Ebb(ebb, envoy string) []Program {
	return append([]Program{{Source: ebb, Target: "/usr/local/bin/ebb"}}, Replica(ebb, envoy)...)
}

// Replica are those of them that a replica's own proxy is. An image of these alone is half as large, and a node unpacks it before the first of
// its pods with a sidecar starts.
func Replica(ebb, envoy string) []Program {
	sidecar := filepath.Join(filepath.Dir(ebb), filepath.Base(Sidecar))
	if _, err := os.Stat(sidecar); err != nil {
		sidecar = filepath.Join(filepath.Dir(envoy), filepath.Base(Sidecar))
	}
	return []Program{{Source: sidecar, Target: Sidecar}, {Source: envoy, Target: "/usr/local/bin/envoy"}}
}

// Sidecar is the program of replicas' own proxies in Ebb's own image.
const Sidecar = "/usr/local/bin/ebb-sidecar"

// Local is the name of an image made of these programs on this machine. Its tag tells one build of them from another, so that the name
// can be written into a pod before there is the image.
func Local(programs []Program) (image.Ref, error) {
	hash := sha256.New()
	for _, p := range programs {
		real, err := filepath.EvalSymlinks(p.Source)
		if err != nil {
			return image.Ref{}, fmt.Errorf("bundle %s: %w", p.Target, err)
		}
		info, err := os.Stat(real)
		if err != nil {
			return image.Ref{}, fmt.Errorf("bundle %s: %w", p.Target, err)
		}
		fmt.Fprintln(hash, p.Target, real, info.Size(), info.ModTime().UnixNano())
	}
	return image.ParseRef(Repository + ":local-" + hex.EncodeToString(hash.Sum(nil)[:8]))
}

// Build makes an image of programs in a store. It runs as nobody in particular.
func Build(ctx context.Context, store *image.Store, name image.Ref, programs []Program) (ociv1.Hash, error) {
	dir, err := os.MkdirTemp("", "ebb-bundle-")
	if err != nil {
		return ociv1.Hash{}, err
	}
	defer os.RemoveAll(dir)
	if err := Gather(dir, programs); err != nil {
		return ociv1.Hash{}, err
	}
	return store.Build(ctx, image.BuildOptions{
		Source: dir, Name: name, Kind: image.KindRootfs, Entrypoint: []string{programs[0].Target}, User: "65532:65532",
	})
}

// Ensure makes the local image of programs if there is none, and forgets those of earlier builds.
func Ensure(ctx context.Context, store *image.Store, name image.Ref, programs []Program) error {
	if _, err := store.Lookup(name); err == nil {
		return nil
	}
	if _, err := Build(ctx, store, name, programs); err != nil {
		return err
	}
	entries, err := store.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Ref.Domain == name.Domain && e.Ref.Repository == name.Repository && e.Ref != name {
			if err := store.Remove(e.Ref); err != nil {
				return err
			}
		}
	}
	return nil
}
