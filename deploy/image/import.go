package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	ociv1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// Imported says under which name an import put an image, and its digest.
type Imported struct {
	Ref    Ref
	Digest ociv1.Hash
}

// Import reads images into the store: a docker-save or OCI archive (a file, gzip or zstd allowed, "-" for in) or an OCI layout directory.
// names replaces the names written in the archive, and is needed where it has none; with names given, the archive must hold one image.
func (s *Store) Import(ctx context.Context, source string, in io.Reader, names ...Ref) ([]Imported, error) {
	imported, err := s.importFrom(ctx, source, in, names)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", source, err)
	}
	return imported, nil
}

func (s *Store) importFrom(ctx context.Context, source string, in io.Reader, names []Ref) ([]Imported, error) {
	if source != "-" {
		info, err := os.Stat(source)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			return s.importDir(ctx, source, names)
		}
		f, err := os.Open(source)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	staging, err := os.MkdirTemp(s.path(tempDir), "import-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(staging)
	if err := stage(ctx, in, staging); err != nil {
		return nil, err
	}
	return s.importDir(ctx, staging, names)
}

// stage lays the members of an archive out in dir, for an archive's parts come in no useful order.
func stage(ctx context.Context, in io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	plain, err := decompress(in)
	if err != nil {
		return err
	}
	defer plain.Close()
	members := tar.NewReader(plain)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("not a docker-save or OCI archive: %w", err)
		}
		name := path.Clean(h.Name)
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return fmt.Errorf("member %q: %w", h.Name, err)
		}
		switch h.Typeflag {
		case tar.TypeReg:
			err = writeFile(root, name, members)
		case tar.TypeSymlink: // old docker save: a layer that two images share
			err = root.Symlink(h.Linkname, name)
		case tar.TypeLink:
			err = root.Link(path.Clean(h.Linkname), name)
		}
		if err != nil {
			return fmt.Errorf("member %q: %w", h.Name, err)
		}
	}
}

func writeFile(root *os.Root, name string, content io.Reader) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

func (s *Store) importDir(ctx context.Context, dir string, names []Ref) ([]Imported, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if content, err := root.ReadFile(indexFile); err == nil {
		return s.importLayout(ctx, root, content, names)
	}
	content, err := root.ReadFile("manifest.json")
	if err != nil {
		return nil, errors.New("neither an OCI layout (index.json) nor a docker save (manifest.json); for a directory with a program use: ebb image build DIR --name NAME")
	}
	return s.importDockerSave(ctx, root, content, names)
}

func (s *Store) importLayout(ctx context.Context, root *os.Root, content []byte, names []Ref) ([]Imported, error) {
	index := &ociv1.IndexManifest{}
	if err := json.Unmarshal(content, index); err != nil {
		return nil, fmt.Errorf("%s: %w", indexFile, err)
	}
	if len(names) > 0 && len(index.Manifests) > 1 {
		return s.importAsOne(ctx, root, content, index, names)
	}
	var all []Imported
	for _, d := range index.Manifests {
		refs := names
		if len(refs) == 0 {
			ref, err := nameOf(d.Annotations)
			if err != nil {
				return nil, fmt.Errorf("image %s: %w", d.Digest, err)
			}
			refs = []Ref{ref}
		}
		if err := s.copyFrom(ctx, root, d.Digest); err != nil {
			return nil, err
		}
		tagged, err := s.tagAll(refs, d.Digest)
		if err != nil {
			return nil, err
		}
		all = append(all, tagged...)
	}
	return all, nil
}

// importAsOne takes a layout whose index lists one image's platforms.
func (s *Store) importAsOne(ctx context.Context, root *os.Root, content []byte, index *ociv1.IndexManifest, names []Ref) ([]Imported, error) {
	for _, d := range index.Manifests {
		if d.Platform == nil {
			return nil, fmt.Errorf("holds %d images; import it without --name, or hand over one image", len(index.Manifests))
		}
		if err := s.copyFrom(ctx, root, d.Digest); err != nil {
			return nil, err
		}
	}
	d, err := s.putBytes(content)
	if err != nil {
		return nil, err
	}
	return s.tagAll(names, d.Digest)
}

// nameOf reads the name that an index entry carries. The OCI annotation may hold a full name or only a tag, which names nothing.
func nameOf(annotations map[string]string) (Ref, error) {
	for _, key := range []string{annotationName, annotationTag} {
		if v := annotations[key]; strings.ContainsAny(v, "/:") {
			return ParseRef(v)
		}
	}
	return Ref{}, errors.New("the archive does not name it; add --name NAME")
}

// copyFrom copies a manifest and what it needs from a layout. Variants of other platforms may be absent.
func (s *Store) copyFrom(ctx context.Context, root *os.Root, digest ociv1.Hash) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	content, err := root.ReadFile(path.Join("blobs", digest.Algorithm, digest.Hex))
	if err != nil {
		return err
	}
	m, err := parseManifest(content)
	if err != nil {
		return fmt.Errorf("%s: %w", digest, err)
	}
	for _, child := range m.children() {
		blob := path.Join("blobs", child.Digest.Algorithm, child.Digest.Hex)
		if m.isIndex() {
			if _, err := root.Stat(blob); err == nil {
				if err := s.copyFrom(ctx, root, child.Digest); err != nil {
					return err
				}
			}
			continue
		}
		if err := s.copyBlob(root, blob, child.Digest); err != nil {
			return err
		}
	}
	_, err = s.putBlob(bytes.NewReader(content), digest)
	return err
}

func (s *Store) copyBlob(root *os.Root, name string, want ociv1.Hash) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = s.putBlob(f, want)
	return err
}

func (s *Store) importDockerSave(ctx context.Context, root *os.Root, content []byte, names []Ref) ([]Imported, error) {
	var images []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(content, &images); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	if len(names) > 0 && len(images) != 1 {
		return nil, fmt.Errorf("holds %d images; import it without --name, or save one image", len(images))
	}
	var all []Imported
	for _, img := range images {
		refs := names
		for _, tag := range img.RepoTags {
			if len(names) > 0 {
				break
			}
			ref, err := ParseRef(tag)
			if err != nil {
				return nil, err
			}
			refs = append(refs, ref)
		}
		if len(refs) == 0 {
			return nil, fmt.Errorf("image %s: the archive does not name it; add --name NAME", img.Config)
		}
		digest, err := s.assemble(ctx, root, img.Config, img.Layers)
		if err != nil {
			return nil, err
		}
		tagged, err := s.tagAll(refs, digest)
		if err != nil {
			return nil, err
		}
		all = append(all, tagged...)
	}
	return all, nil
}

// assemble makes a manifest for what docker save wrote: it leaves the manifest out and its layers uncompressed. They stay so: nothing is
// gained on this machine by compressing them, and the digest does not depend on a compressor.
func (s *Store) assemble(ctx context.Context, root *os.Root, configName string, layers []string) (ociv1.Hash, error) {
	manifest := ociv1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	configBytes, err := root.ReadFile(path.Clean(configName))
	if err != nil {
		return ociv1.Hash{}, err
	}
	config, err := s.putBytes(configBytes)
	if err != nil {
		return ociv1.Hash{}, err
	}
	config.MediaType = types.OCIConfigJSON
	manifest.Config = config
	for _, name := range layers {
		if err := ctx.Err(); err != nil {
			return ociv1.Hash{}, err
		}
		layer, err := s.putLayerFile(root, path.Clean(name))
		if err != nil {
			return ociv1.Hash{}, fmt.Errorf("layer %s: %w", name, err)
		}
		manifest.Layers = append(manifest.Layers, layer)
	}
	d, err := s.putJSON(manifest, manifest.MediaType)
	return d.Digest, err
}

func (s *Store) putLayerFile(root *os.Root, name string) (ociv1.Descriptor, error) {
	f, err := root.Open(name)
	if err != nil {
		return ociv1.Descriptor{}, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	mediaType := layerMediaType(r)
	d, err := s.putBlob(r, ociv1.Hash{})
	d.MediaType = mediaType
	return d, err
}

func (s *Store) tagAll(refs []Ref, digest ociv1.Hash) ([]Imported, error) {
	var all []Imported
	for _, ref := range refs {
		if ref.Digest != "" {
			return nil, fmt.Errorf("image name %s: a name to give has no digest", ref)
		}
		if err := s.Tag(ref, digest); err != nil {
			return nil, err
		}
		all = append(all, Imported{Ref: ref, Digest: digest})
	}
	return all, nil
}

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

func layerMediaType(r *bufio.Reader) types.MediaType {
	magic, _ := r.Peek(len(zstdMagic)) // shorter content has no magic
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		return types.OCILayer
	case bytes.HasPrefix(magic, zstdMagic):
		return types.OCILayerZStd
	}
	return types.OCIUncompressedLayer
}

// decompress reads a tar as it is or through gzip or zstd, told apart by their first bytes: media types in the wild are often wrong.
func decompress(in io.Reader) (io.ReadCloser, error) {
	r := bufio.NewReader(in)
	switch layerMediaType(r) {
	case types.OCILayer:
		return gzip.NewReader(r)
	case types.OCILayerZStd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}

// absolute makes error messages and cache keys independent of the working directory.
func absolute(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}
