package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func unpackLayers(t *testing.T, layers ...[]byte) (string, error) {
	t.Helper()
	s := newStore(t)
	tree, err := s.Unpack(context.Background(), putImage(t, s, "x", layers...))
	if err != nil {
		return "", err
	}
	t.Cleanup(tree.Release)
	return tree.Path, nil
}

func TestLayersAreAppliedWithWhiteoutsLinksAndModes(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(layerOf(
		member{name: "bin/", kind: tar.TypeDir, mode: 0o555},
		member{name: "bin/sh", body: "#!", mode: 0o4755},
		member{name: "gone", body: "x"},
		member{name: "dir/one", body: "1"},
		member{name: "dir/sub/two", body: "2"},
		member{name: "run", kind: tar.TypeDir},
		member{name: "var/run", kind: tar.TypeSymlink, link: "/run"},
		member{name: "becomes-link/inner", body: "x"},
	))
	z.Close()
	root, err := unpackLayers(t, zipped.Bytes(), layerOf(
		member{name: ".wh.gone"},
		member{name: "dir/three", body: "3"},
		member{name: "dir/.wh..wh..opq"},
		member{name: "bin/bash", kind: tar.TypeLink, link: "bin/sh"},
		member{name: "var/run/pid", body: "42"},
		member{name: "becomes-link", kind: tar.TypeSymlink, link: "dir"},
		member{name: "pipe", kind: tar.TypeFifo},
	))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		names = append(names, strings.TrimPrefix(p, root))
		return err
	})
	want := " /becomes-link /bin /bin/bash /bin/sh /dir /dir/three /pipe /run /run/pid /var /var/run"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("tree:\n got %s\nwant %s", got, want)
	}
	sh, err := os.Stat(filepath.Join(root, "bin/sh"))
	if err != nil {
		t.Fatal(err)
	}
	bash, err := os.Stat(filepath.Join(root, "bin/bash"))
	if err != nil || !os.SameFile(sh, bash) {
		t.Errorf("the hard link is no hard link: %v", err)
	}
	if sh.Mode() != 0o755|fs.ModeSetuid {
		t.Errorf("mode of bin/sh: %s", sh.Mode())
	}
	if bin, _ := os.Stat(filepath.Join(root, "bin")); bin.Mode().Perm() != 0o555 {
		t.Errorf("mode of bin: %s", bin.Mode())
	}
}

func TestNothingReachesOutsideTheImage(t *testing.T) {
	outside := t.TempDir()
	for name, layer := range map[string][]byte{
		"dot dot":              layerOf(member{name: "../escape", body: "x"}),
		"dot dot inside":       layerOf(member{name: "a/../../escape", body: "x"}),
		"hard link out":        layerOf(member{name: "l", kind: tar.TypeLink, link: "../../../../etc/passwd"}),
		"whiteout of parent":   layerOf(member{name: ".wh..."}),
		"whiteout of nothing":  layerOf(member{name: "a/.wh."}),
		"hard link to absent":  layerOf(member{name: "l", kind: tar.TypeLink, link: "/etc/passwd"}),
		"file under a file":    layerOf(member{name: "f", body: "x"}, member{name: "f/g", body: "x"}),
		"symlink loop":         layerOf(member{name: "a", kind: tar.TypeSymlink, link: "b"}, member{name: "b", kind: tar.TypeSymlink, link: "a"}, member{name: "a/x", body: "x"}),
		"a kind nobody knows":  layerOf(member{name: "f", kind: 'Z'}),
		"hard link via a link": layerOf(member{name: "d", kind: tar.TypeSymlink, link: outside}, member{name: "l", kind: tar.TypeLink, link: "d/secret"}),
	} {
		if _, err := unpackLayers(t, layer); err == nil {
			t.Errorf("%s: was accepted", name)
		}
	}
	// Links that point out lead to their place inside, so these are legal and stay inside.
	root, err := unpackLayers(t, layerOf(
		member{name: "abs", kind: tar.TypeSymlink, link: outside},
		member{name: "up", kind: tar.TypeSymlink, link: "../../../../../.." + outside},
		member{name: "abs/one", body: "1"},
		member{name: "up/two", body: "2"},
		member{name: "/absolute/name", body: "3"},
	))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{outside + "/one", outside + "/two", "/absolute/name"} {
		if _, err := os.Stat(filepath.Join(root, f)); err != nil {
			t.Errorf("not inside: %v", err)
		}
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 0 {
		t.Errorf("written outside: %v", entries)
	}
}

func TestUnpackingIsDoneOnceAndWaitedFor(t *testing.T) {
	s := newStore(t)
	digest := putImage(t, s, "x", layerOf(member{name: "f", body: "1"}))
	var wg sync.WaitGroup
	inodes := make([]uint64, 6)
	for i := range inodes {
		wg.Go(func() {
			other, err := Open(s.Dir())
			if err != nil {
				t.Error(err)
				return
			}
			tree, err := other.Unpack(context.Background(), digest)
			if err != nil {
				t.Error(err)
				return
			}
			defer tree.Release()
			info, err := os.Stat(tree.Path)
			if err != nil {
				t.Error(err)
				return
			}
			inodes[i] = info.Sys().(*syscall.Stat_t).Ino
		})
	}
	wg.Wait()
	for _, ino := range inodes {
		if ino != inodes[0] {
			t.Fatalf("unpacked more than once: %v", inodes)
		}
	}
}

func TestOwnersAreKeptWhenRootUnpacks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: an ordinary user cannot give files away")
	}
	root, err := unpackLayers(t, layerOf(member{name: "f", body: "x", uid: 65532}))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(root, "f"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != 65532 {
		t.Fatalf("owner: %+v, %v", info, err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(layerOf(member{name: "a/b", body: "x"}, member{name: "l", kind: tar.TypeSymlink, link: "../.."}, member{name: "l/c", body: "y"}))
	f.Add(layerOf(member{name: "d", kind: tar.TypeSymlink, link: "/"}, member{name: "d/d/d/x", kind: tar.TypeLink, link: "d"}))
	f.Add(layerOf(member{name: "x", body: "1"}, member{name: ".wh.x"}, member{name: ".wh..wh..opq"}))
	f.Fuzz(func(t *testing.T, layer []byte) {
		parent := t.TempDir()
		if err := os.WriteFile(filepath.Join(parent, "witness"), []byte("w"), 0o600); err != nil {
			t.Fatal(err)
		}
		inside := filepath.Join(parent, "inside")
		if err := os.Mkdir(inside, 0o755); err != nil {
			t.Fatal(err)
		}
		x, err := newExtractor(inside)
		if err != nil {
			t.Fatal(err)
		}
		x.owner = false
		if err := x.apply(context.Background(), bytes.NewReader(layer)); err == nil {
			_ = x.finish()
		}
		x.close()
		entries, err := os.ReadDir(parent)
		if err != nil || len(entries) != 2 {
			t.Fatalf("written outside: %v, %v", entries, err)
		}
		if w, err := os.ReadFile(filepath.Join(parent, "witness")); err != nil || string(w) != "w" {
			t.Fatalf("changed outside: %q, %v", w, err)
		}
		if err := removeTree(inside); err != nil {
			t.Fatal(err)
		}
	})
}
