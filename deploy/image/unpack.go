package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	ociv1 "github.com/google/go-containerregistry/pkg/v1"
)

// Rootfs is an image's files laid out in a directory. Nobody may write to it: all containers of the image share it.
// Release tells the store that this user is done; until then no Sweep removes the directory.
type Rootfs struct {
	Path   string
	Digest ociv1.Hash
	Config *ociv1.ConfigFile

	lock    *os.File
	release sync.Once
}

// Release gives the tree back. It may be called more than once.
func (r *Rootfs) Release() {
	r.release.Do(func() { r.lock.Close() })
}

// Unpack lays the image with that digest out on disk, or finds it there from last time. The layers are applied in order into one tree.
func (s *Store) Unpack(ctx context.Context, digest ociv1.Hash) (*Rootfs, error) {
	img, err := s.Image(digest)
	if err != nil {
		return nil, err
	}
	tree := s.path(rootfsDir, img.Digest.Hex)
	lock, err := os.OpenFile(tree+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := s.unpackLocked(ctx, img, tree, lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("unpack image %s: %w", digest, err)
	}
	return &Rootfs{Path: absolute(tree), Digest: digest, Config: img.Config, lock: lock}, nil
}

// unpackLocked leaves the caller with a shared lock on a complete tree. One process unpacks, the others wait for it.
func (s *Store) unpackLocked(ctx context.Context, img *Image, tree string, lock *os.File) error {
	for {
		if err := flock(lock, syscall.LOCK_SH); err != nil {
			return err
		}
		if _, err := os.Stat(tree); err == nil {
			return nil
		}
		// A shared lock is not upgraded in one step: between the two another process may finish or sweep, so look again.
		if err := flock(lock, syscall.LOCK_EX); err != nil {
			return err
		}
		if _, err := os.Stat(tree); err == nil {
			continue
		}
		if err := s.unpackTo(ctx, img, tree); err != nil {
			return err
		}
	}
}

func (s *Store) unpackTo(ctx context.Context, img *Image, tree string) error {
	work, err := os.MkdirTemp(s.path(tempDir), "rootfs-")
	if err != nil {
		return err
	}
	defer func() { _ = removeTree(work) }()
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	target, err := newExtractor(work)
	if err != nil {
		return err
	}
	defer target.close()
	for i, layer := range img.Manifest.Layers {
		if err := s.applyLayer(ctx, target, layer.Digest); err != nil {
			return fmt.Errorf("layer %d (%s): %w", i+1, layer.Digest, err)
		}
	}
	if err := target.finish(); err != nil {
		return err
	}
	// The rename is the commit: a tree under its final name is whole.
	return os.Rename(work, tree)
}

func (s *Store) applyLayer(ctx context.Context, target *extractor, digest ociv1.Hash) error {
	blob, err := s.openBlob(digest)
	if err != nil {
		return err
	}
	defer blob.Close()
	plain, err := decompress(blob)
	if err != nil {
		return err
	}
	defer plain.Close()
	return target.apply(ctx, plain)
}

// sweepRootfs removes trees whose image is gone and that nobody holds.
func (s *Store) sweepRootfs(used map[string]bool) error {
	entries, err := os.ReadDir(s.path(rootfsDir))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		hex := strings.TrimSuffix(e.Name(), ".lock")
		if !used[hex] && e.Name() != hex {
			errs = append(errs, s.removeUnused(hex))
		}
	}
	return errors.Join(errs...)
}

func (s *Store) removeUnused(hex string) error {
	tree := s.path(rootfsDir, hex)
	lock, err := os.OpenFile(tree+".lock", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer lock.Close()
	if flock(lock, syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return nil // a node runs it
	}
	// The lock file stays: removed, two processes could hold "the lock" of two files of one name.
	return removeTree(tree)
}

// removeTree removes a tree that may hold directories without write permission, which an ordinary user cannot empty.
func removeTree(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
