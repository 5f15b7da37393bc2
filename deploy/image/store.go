package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	ociv1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// ErrNotFound says that the store does not hold what was asked for.
var ErrNotFound = errors.New("not in the local image store")

const (
	// annotationName holds the full image name of an index entry; containerd writes and reads the same.
	annotationName = "io.containerd.image.name"
	// annotationTag is the OCI layout's own, the tag alone.
	annotationTag = "org.opencontainers.image.ref.name"
	// annotationPulled marks what came from a registry: it may be newer there. What a user built or imported is what the user means.
	annotationPulled = "dev.ebb.image.pulled"

	layoutFile = "oci-layout"
	indexFile  = "index.json"
	lockFile   = ".lock"
	blobsDir   = "blobs/sha256"
	tempDir    = ".tmp"
	rootfsDir  = "rootfs"
)

// sweepAge is how long a blob that nobody names is kept: longer than the time between a push of a layer and that of its manifest.
const sweepAge = time.Hour

// Store is an OCI layout in a directory. Any number of goroutines and processes may use the same directory at once.
type Store struct {
	dir string

	mu    sync.Mutex
	index *ociv1.IndexManifest // nil until read; valid while the file is the one that was read
	stamp fileStamp
}

// fileStamp tells one version of the index file from the next: it is replaced by rename, so the inode changes.
type fileStamp struct {
	ino   uint64
	mtime time.Time
	size  int64
}

// Entry is one named image.
type Entry struct {
	Ref     Ref
	Digest  ociv1.Hash // of the manifest, or of the index for several platforms
	Size    int64      // bytes of all blobs of this machine's platform
	Created time.Time  // zero for reproducible builds
}

// Open opens the store in dir and creates it if it is not there.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir}
	for _, d := range []string{blobsDir, tempDir, rootfsDir} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("image store %s: %w", dir, err)
		}
	}
	err := s.locked(func() error {
		if _, err := os.Stat(s.path(layoutFile)); err == nil {
			return nil
		}
		if err := s.replaceFile(layoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
			return err
		}
		return s.writeIndex(&ociv1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []ociv1.Descriptor{}})
	})
	if err != nil {
		return nil, fmt.Errorf("image store %s: %w", dir, err)
	}
	return s, nil
}

// Dir is the directory the store was opened in.
func (s *Store) Dir() string { return s.dir }

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// locked runs f while no other process changes the index.
func (s *Store) locked(f func() error) error {
	lock, err := os.OpenFile(s.path(lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := flock(lock, syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return f()
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if err != syscall.EINTR {
			return err
		}
	}
}

// replaceFile writes a file of the store in one step: a reader sees the old one or the new one, also after a crash.
func (s *Store) replaceFile(name string, content []byte) error {
	f, err := os.CreateTemp(s.path(tempDir), "file-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.path(name)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path(name)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readIndex returns the index as it is on disk now. The caller must not change it.
func (s *Store) readIndex() (*ociv1.IndexManifest, error) {
	info, err := os.Stat(s.path(indexFile))
	if err != nil {
		return nil, err
	}
	stamp := fileStamp{mtime: info.ModTime(), size: info.Size()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		stamp.ino = sys.Ino
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index != nil && s.stamp == stamp {
		return s.index, nil
	}
	content, err := os.ReadFile(s.path(indexFile))
	if err != nil {
		return nil, err
	}
	index := &ociv1.IndexManifest{}
	if err := json.Unmarshal(content, index); err != nil {
		return nil, fmt.Errorf("image store %s: %s is damaged (%w); remove it and import the images again", s.dir, indexFile, err)
	}
	s.index, s.stamp = index, stamp
	return index, nil
}

func (s *Store) writeIndex(index *ociv1.IndexManifest) error {
	content, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	return s.replaceFile(indexFile, content)
}

// update changes the index entries under the lock.
func (s *Store) update(change func([]ociv1.Descriptor) ([]ociv1.Descriptor, error)) error {
	return s.locked(func() error {
		index, err := s.readIndex()
		if err != nil {
			return err
		}
		next := *index
		if next.Manifests, err = change(slices.Clone(index.Manifests)); err != nil {
			return err
		}
		return s.writeIndex(&next)
	})
}

// Tag names the manifest or index with that digest, whose blobs must all be in the store, and takes the name from whatever had it.
func (s *Store) Tag(ref Ref, digest ociv1.Hash) error { return s.tag(ref, digest, false) }

func (s *Store) tag(ref Ref, digest ociv1.Hash, pulled bool) error {
	manifest, err := s.readManifest(digest)
	if err != nil {
		return fmt.Errorf("tag %s: %w", ref.Familiar(), err)
	}
	if err := s.complete(manifest); err != nil {
		return fmt.Errorf("tag %s: %w", ref.Familiar(), err)
	}
	entry := ociv1.Descriptor{
		MediaType:   manifest.mediaType,
		Size:        manifest.size,
		Digest:      digest,
		Annotations: map[string]string{annotationName: ref.String(), annotationTag: ref.Tag},
	}
	if pulled {
		entry.Annotations[annotationPulled] = "true"
	}
	return s.update(func(entries []ociv1.Descriptor) ([]ociv1.Descriptor, error) {
		entries = slices.DeleteFunc(entries, func(d ociv1.Descriptor) bool { return d.Annotations[annotationName] == ref.String() })
		return append(entries, entry), nil
	})
}

// Lookup finds the digest an image name stands for: the name's own digest if the store has that manifest, else what its tag names.
func (s *Store) Lookup(ref Ref) (ociv1.Hash, error) {
	if ref.Digest != "" {
		digest, err := ociv1.NewHash(ref.Digest)
		if err != nil {
			return ociv1.Hash{}, fmt.Errorf("image %s: %w", ref.Familiar(), err)
		}
		if _, err := s.readManifest(digest); err != nil {
			return ociv1.Hash{}, fmt.Errorf("image %s: %w", ref.Familiar(), err)
		}
		return digest, nil
	}
	index, err := s.readIndex()
	if err != nil {
		return ociv1.Hash{}, err
	}
	for _, d := range index.Manifests {
		if d.Annotations[annotationName] == ref.String() {
			return d.Digest, nil
		}
	}
	return ociv1.Hash{}, fmt.Errorf("image %s: %w", ref.Familiar(), ErrNotFound)
}

// pulled reports whether the name's image came from a registry.
func (s *Store) pulled(ref Ref) bool {
	index, err := s.readIndex()
	return err == nil && slices.ContainsFunc(index.Manifests, func(d ociv1.Descriptor) bool {
		return d.Annotations[annotationName] == ref.String() && d.Annotations[annotationPulled] != ""
	})
}

// List returns the named images, sorted by name.
func (s *Store) List() ([]Entry, error) {
	index, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, d := range index.Manifests {
		ref, err := ParseRef(d.Annotations[annotationName])
		if err != nil {
			continue // an entry that another tool wrote without a name
		}
		e := Entry{Ref: ref, Digest: d.Digest}
		if img, err := s.Image(d.Digest); err == nil {
			e.Size, e.Created = img.size(), img.Config.Created.Time
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
	return entries, nil
}

// Remove takes the name from the index and sweeps what nobody names any more.
func (s *Store) Remove(ref Ref) error {
	found := false
	err := s.update(func(entries []ociv1.Descriptor) ([]ociv1.Descriptor, error) {
		kept := slices.DeleteFunc(entries, func(d ociv1.Descriptor) bool { return d.Annotations[annotationName] == ref.String() })
		found = len(kept) < len(entries)
		return kept, nil
	})
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("image %s: %w; see: ebb image list", ref.Familiar(), ErrNotFound)
	}
	return s.Sweep(time.Now())
}

// Sweep removes blobs that no named image needs, unpacked trees of such images that no process uses, and remains of writers that died.
// What was written less than an hour before now stays: its name may be on the way.
func (s *Store) Sweep(now time.Time) error {
	return s.locked(func() error {
		index, err := s.readIndex()
		if err != nil {
			return err
		}
		used := map[string]bool{}
		for _, d := range index.Manifests {
			s.mark(d.Digest, used)
		}
		old := func(e fs.DirEntry) bool {
			info, err := e.Info()
			return err == nil && now.Sub(info.ModTime()) > sweepAge
		}
		return errors.Join(
			removeEntries(s.path(blobsDir), func(e fs.DirEntry) bool { return !used[e.Name()] && old(e) }),
			removeEntries(s.path(tempDir), old),
			s.sweepRootfs(used),
		)
	})
}

// mark notes the hex digests of everything the manifest needs.
func (s *Store) mark(digest ociv1.Hash, used map[string]bool) {
	if used[digest.Hex] {
		return
	}
	used[digest.Hex] = true
	manifest, err := s.readManifest(digest)
	if err != nil {
		return // a layer or config: no children
	}
	for _, child := range manifest.children() {
		if manifest.isIndex() {
			s.mark(child.Digest, used)
		} else {
			used[child.Digest.Hex] = true
		}
	}
}

func removeEntries(dir string, remove func(fs.DirEntry) bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if remove(e) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
