package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	ociv1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func newStore(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustRef(t *testing.T, name string) Ref {
	t.Helper()
	ref, err := ParseRef(name)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// member is one tar entry of a test layer.
type member struct {
	name string
	kind byte // tar type, 0 is a regular file
	body string
	link string
	mode int64
	uid  int
}

func layerOf(members ...member) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Typeflag: m.kind, Linkname: m.link, Mode: m.mode, Uid: m.uid, ModTime: time.Unix(1, 0)}
		if m.kind == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(m.body))
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := w.Write([]byte(m.body)); err != nil {
			panic(err)
		}
	}
	w.Close()
	return b.Bytes()
}

// putImage stores an image of these layers under a name.
func putImage(t *testing.T, s *Store, name string, layers ...[]byte) ociv1.Hash {
	t.Helper()
	config := ociv1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: ociv1.RootFS{Type: "layers"}}
	m := ociv1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	for _, l := range layers {
		d, err := s.putBytes(l)
		if err != nil {
			t.Fatal(err)
		}
		d.MediaType = types.OCIUncompressedLayer
		m.Layers = append(m.Layers, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d.Digest)
	}
	var err error
	if m.Config, err = s.putJSON(config, types.OCIConfigJSON); err != nil {
		t.Fatal(err)
	}
	d, err := s.putJSON(m, m.MediaType)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(mustRef(t, name), d.Digest); err != nil {
		t.Fatal(err)
	}
	return d.Digest
}

func TestConcurrentWritersOfOneStoreLoseNothing(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s, err := Open(dir) // a store of its own, as another process has
			if err != nil {
				t.Error(err)
				return
			}
			putImage(t, s, fmt.Sprintf("app-%d", i), layerOf(member{name: "f", body: fmt.Sprint(i)}))
		})
	}
	wg.Wait()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.List()
	if err != nil || len(entries) != 8 {
		t.Fatalf("got %d entries, %v; want 8", len(entries), err)
	}
}

func TestANameMovesToTheNewImage(t *testing.T) {
	s := newStore(t)
	putImage(t, s, "shop:v4", layerOf(member{name: "old", body: "1"}))
	want := putImage(t, s, "shop:v4", layerOf(member{name: "new", body: "2"}))
	got, err := s.Lookup(mustRef(t, "docker.io/library/shop:v4"))
	if err != nil || got != want {
		t.Fatalf("got %s, %v; want %s", got, err, want)
	}
	if entries, _ := s.List(); len(entries) != 1 {
		t.Fatalf("%d entries for one name", len(entries))
	}
}

func TestAnImageWithoutAllItsBlobsGetsNoName(t *testing.T) {
	s := newStore(t)
	digest := putImage(t, s, "shop:v4", layerOf(member{name: "f", body: "1"}))
	img, err := s.Image(digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path(blobsDir, img.Manifest.Layers[0].Digest.Hex)); err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(mustRef(t, "shop:v5"), digest); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
}

func TestABlobWithAnotherHashIsRefused(t *testing.T) {
	s := newStore(t)
	if _, err := s.putBlob(bytes.NewReader([]byte("x")), ociv1.Hash{Algorithm: "sha256", Hex: someDigest[len("sha256:"):]}); err == nil {
		t.Fatal("a damaged blob was stored")
	}
	entries, err := os.ReadDir(s.path(tempDir))
	if err != nil || len(entries) != 0 {
		t.Fatalf("remains: %v, %v", entries, err)
	}
}

func TestRemoveKeepsWhatOthersNeedAndWhatRuns(t *testing.T) {
	s := newStore(t)
	shared := layerOf(member{name: "shared", body: "s"})
	a := putImage(t, s, "a", shared, layerOf(member{name: "a", body: "a"}))
	putImage(t, s, "b", shared, layerOf(member{name: "b", body: "b"}))
	tree, err := s.Unpack(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(mustRef(t, "a")); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(2 * sweepAge)
	if err := s.Sweep(later); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(tree.Path, "a")); err != nil {
		t.Fatal("the tree of a running image went:", err)
	}
	if _, err := s.Image(a); !errors.Is(err, ErrNotFound) {
		t.Fatalf("the removed image is still there: %v", err)
	}
	tree.Release()
	if err := s.Sweep(later); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tree.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("the unused tree stayed")
	}
	b, err := s.Lookup(mustRef(t, "b"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Unpack(context.Background(), b); err != nil {
		t.Fatal("the other image is damaged:", err)
	}
	if err := s.Remove(mustRef(t, "a")); !errors.Is(err, ErrNotFound) {
		t.Fatalf("removed twice: %v", err)
	}
}

func TestRemainsOfACrashedWriterAreSweptAndHarmNothing(t *testing.T) {
	s := newStore(t)
	if err := os.WriteFile(s.path(tempDir, "blob-crashed"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.path(tempDir, "rootfs-crashed"), 0o700); err != nil {
		t.Fatal(err)
	}
	putImage(t, s, "a", layerOf(member{name: "a", body: "a"}))
	if err := s.Sweep(time.Now().Add(2 * sweepAge)); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(s.path(tempDir)); err != nil || len(entries) != 0 {
		t.Fatalf("remains: %v, %v", entries, err)
	}
	if _, err := s.Lookup(mustRef(t, "a")); err != nil {
		t.Fatal(err)
	}
}
