package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
	"time"

	ociv1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// maxManifest bounds manifests and configs, in bytes; registries refuse larger ones too.
const maxManifest = 4 << 20

// Image is one image of this machine's platform.
type Image struct {
	Digest   ociv1.Hash // of the manifest
	Manifest *ociv1.Manifest
	Config   *ociv1.ConfigFile
}

func (i *Image) size() int64 {
	n := i.Manifest.Config.Size
	for _, l := range i.Manifest.Layers {
		n += l.Size
	}
	return n
}

// blobWriter takes the bytes of a blob; commit puts it in the store under its hash, and abort leaves no trace.
type blobWriter struct {
	store *Store
	file  *os.File
	hash  hash.Hash
	size  int64
}

func (s *Store) newBlob() (*blobWriter, error) {
	f, err := os.CreateTemp(s.path(tempDir), "blob-")
	if err != nil {
		return nil, err
	}
	return &blobWriter{store: s, file: f, hash: sha256.New()}, nil
}

func (w *blobWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	return n, err
}

func (w *blobWriter) abort() {
	w.file.Close()
	os.Remove(w.file.Name())
}

// commit stores the blob. want is the hash it must have, or the zero Hash for any.
func (w *blobWriter) commit(want ociv1.Hash) (ociv1.Descriptor, error) {
	defer os.Remove(w.file.Name())
	got := ociv1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(w.hash.Sum(nil))}
	if want != (ociv1.Hash{}) && got != want {
		w.file.Close()
		return ociv1.Descriptor{}, fmt.Errorf("blob %s has the hash %s: damaged on the way, fetch it again", want, got)
	}
	if err := errors.Join(w.file.Chmod(0o644), w.file.Sync(), w.file.Close()); err != nil {
		return ociv1.Descriptor{}, err
	}
	target := w.store.path(blobsDir, got.Hex)
	if err := os.Rename(w.file.Name(), target); err != nil {
		return ociv1.Descriptor{}, err
	}
	return ociv1.Descriptor{Digest: got, Size: w.size}, syncDir(w.store.path(blobsDir))
}

// putBlob stores what r gives. want is the hash it must have, or the zero Hash for any.
func (s *Store) putBlob(r io.Reader, want ociv1.Hash) (ociv1.Descriptor, error) {
	w, err := s.newBlob()
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	if _, err := io.Copy(w, r); err != nil {
		w.abort()
		return ociv1.Descriptor{}, err
	}
	return w.commit(want)
}

func (s *Store) putJSON(v any, mediaType types.MediaType) (ociv1.Descriptor, error) {
	content, err := json.Marshal(v)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	d, err := s.putBytes(content)
	d.MediaType = mediaType
	return d, err
}

func (s *Store) putBytes(content []byte) (ociv1.Descriptor, error) {
	w, err := s.newBlob()
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	if _, err := w.Write(content); err != nil {
		w.abort()
		return ociv1.Descriptor{}, err
	}
	return w.commit(ociv1.Hash{})
}

// openBlob opens a blob for reading. A blob that somebody asks for is about to be used: its age for Sweep begins anew.
func (s *Store) openBlob(digest ociv1.Hash) (*os.File, error) {
	if !digestPattern.MatchString(digest.String()) {
		return nil, fmt.Errorf("blob %s: not a sha256 digest", digest)
	}
	path := s.path(blobsDir, digest.Hex)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", digest, ErrNotFound)
	}
	if err == nil {
		now := time.Now()
		_ = os.Chtimes(path, now, now) // a store that is not ours to write is not ours to sweep either
	}
	return f, err
}

func (s *Store) readBlob(digest ociv1.Hash) ([]byte, error) {
	f, err := s.openBlob(digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(content) > maxManifest {
		err = fmt.Errorf("blob %s: larger than %d bytes, no manifest is", digest, maxManifest)
	}
	return content, err
}

// manifest is a manifest or an index, as registries tell them apart: by media type, or by shape where it is missing.
type manifest struct {
	mediaType types.MediaType
	size      int64
	content   []byte

	image *ociv1.Manifest      // one of the two is set
	index *ociv1.IndexManifest //
}

func (m *manifest) isIndex() bool { return m.index != nil }

// children are what a manifest needs: its config and layers; an index: its manifests.
func (m *manifest) children() []ociv1.Descriptor {
	if m.isIndex() {
		return m.index.Manifests
	}
	return append([]ociv1.Descriptor{m.image.Config}, m.image.Layers...)
}

func parseManifest(content []byte) (*manifest, error) {
	var shape struct {
		MediaType types.MediaType   `json:"mediaType"`
		Config    *json.RawMessage  `json:"config"`
		Manifests []json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(content, &shape); err != nil {
		return nil, fmt.Errorf("not a manifest: %w", err)
	}
	m := &manifest{mediaType: shape.MediaType, size: int64(len(content)), content: content}
	switch {
	case shape.MediaType.IsIndex(), shape.MediaType == "" && shape.Manifests != nil:
		m.index = &ociv1.IndexManifest{}
		if m.mediaType == "" {
			m.mediaType = types.OCIImageIndex
		}
		return m, json.Unmarshal(content, m.index)
	case shape.MediaType.IsImage() && shape.Config != nil, shape.MediaType == "" && shape.Config != nil:
		m.image = &ociv1.Manifest{}
		if m.mediaType == "" {
			m.mediaType = types.OCIManifestSchema1
		}
		return m, json.Unmarshal(content, m.image)
	}
	return nil, fmt.Errorf("not a manifest: media type %q", shape.MediaType)
}

func (s *Store) readManifest(digest ociv1.Hash) (*manifest, error) {
	content, err := s.readBlob(digest)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(content)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", digest, err)
	}
	return m, nil
}

// complete reports the first blob that the manifest needs and the store lacks. An index needs only this machine's platform to be here.
func (s *Store) complete(m *manifest) error {
	if m.isIndex() {
		child, err := pickPlatform(m.index)
		if err != nil {
			return err
		}
		cm, err := s.readManifest(child.Digest)
		if err != nil {
			return err
		}
		return s.complete(cm)
	}
	for _, d := range m.children() {
		info, err := os.Stat(s.path(blobsDir, d.Digest.Hex))
		if err != nil {
			return fmt.Errorf("blob %s: %w", d.Digest, ErrNotFound)
		}
		if d.Size != 0 && info.Size() != d.Size {
			return fmt.Errorf("blob %s: has %d bytes, its manifest says %d", d.Digest, info.Size(), d.Size)
		}
	}
	return nil
}

// pickPlatform chooses this machine's manifest from an index.
func pickPlatform(index *ociv1.IndexManifest) (ociv1.Descriptor, error) {
	var single []ociv1.Descriptor
	for _, d := range index.Manifests {
		if d.Platform == nil {
			single = append(single, d)
			continue
		}
		if d.Platform.OS == "linux" && d.Platform.Architecture == runtime.GOARCH {
			return d, nil
		}
	}
	if len(single) == 1 {
		return single[0], nil
	}
	return ociv1.Descriptor{}, fmt.Errorf("the image has no variant for linux/%s", runtime.GOARCH)
}

// Image reads the image with that digest; of an index, this machine's platform.
func (s *Store) Image(digest ociv1.Hash) (*Image, error) {
	m, err := s.readManifest(digest)
	if err != nil {
		return nil, err
	}
	if m.isIndex() {
		child, err := pickPlatform(m.index)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", digest, err)
		}
		return s.Image(child.Digest)
	}
	content, err := s.readBlob(m.image.Config.Digest)
	if err != nil {
		return nil, fmt.Errorf("image %s: config: %w", digest, err)
	}
	config := &ociv1.ConfigFile{}
	if err := json.Unmarshal(content, config); err != nil {
		return nil, fmt.Errorf("image %s: config: %w", digest, err)
	}
	return &Image{Digest: digest, Manifest: m.image, Config: config}, nil
}
