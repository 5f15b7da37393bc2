package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const helloSource = `package main

import "os"

func main() { os.Stdout.WriteString("hello " + os.Getenv("TARGET") + "\n") }
`

func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "src")
	for name, body := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(body), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAGoProgramBecomesARunnableImageTheSameEveryTime(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command: it builds a Go program")
	}
	var digests []string
	for range 2 {
		s := newStore(t)
		src := writeTree(t, map[string]string{"main.go": helloSource, "go.mod": "module example.com/hello\n\ngo 1.26\n"})
		digest, err := s.Build(context.Background(), BuildOptions{Source: src, Name: mustRef(t, "hello"), Program: "hello", Env: []string{"TARGET=you"}, Ports: []string{"8080"}})
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest.String())
		tree, err := s.Unpack(context.Background(), digest)
		if err != nil {
			t.Fatal(err)
		}
		defer tree.Release()
		c := tree.Config.Config
		cmd := exec.Command(filepath.Join(tree.Path, c.Entrypoint[0]))
		cmd.Env = c.Env
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "hello you\n" {
			t.Fatalf("ran to %q, %v", out, err)
		}
		if _, ok := c.ExposedPorts["8080/tcp"]; !ok || c.User != "65532:65532" {
			t.Errorf("config: %+v", c)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds of one source differ: %v", digests)
	}
}

func TestARootFileSystemKeepsItsFiles(t *testing.T) {
	s := newStore(t)
	src := writeTree(t, map[string]string{"bin/app": "#!/bin/sh\n", "etc/conf": "x"})
	if err := os.Symlink("bin/app", filepath.Join(src, "app")); err != nil {
		t.Fatal(err)
	}
	digest, err := s.Build(context.Background(), BuildOptions{Source: src, Name: mustRef(t, "fs"), Entrypoint: []string{"/bin/app"}, Cmd: []string{"-v"}, WorkingDir: "/etc"})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := s.Unpack(context.Background(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Release()
	if to, err := os.Readlink(filepath.Join(tree.Path, "app")); err != nil || to != "bin/app" {
		t.Errorf("link: %q, %v", to, err)
	}
	if c := tree.Config.Config; !slices.Equal(c.Entrypoint, []string{"/bin/app"}) || c.WorkingDir != "/etc" || c.User != "" {
		t.Errorf("config: %+v", c)
	}
}

func TestWhatCannotBeBuiltIsRefusedWithTheRemedy(t *testing.T) {
	s := newStore(t)
	for _, c := range []struct {
		name  string
		files map[string]string
		o     BuildOptions
		want  string
	}{
		{"a Dockerfile", map[string]string{"Dockerfile": "FROM x"}, BuildOptions{}, "docker save shop:v4 | ebb image import - --name shop:v4"},
		{"a Dockerfile beside Go", map[string]string{"Dockerfile": "FROM x", "main.go": helloSource}, BuildOptions{}, "--kind go"},
		{"no command", map[string]string{"bin/app": "x"}, BuildOptions{}, "--entrypoint"},
		{"no program", map[string]string{"app": "text"}, BuildOptions{Kind: KindBinary, Source: "app"}, "not a Linux program"},
		{"a bad port", map[string]string{"bin/app": "x"}, BuildOptions{Entrypoint: []string{"/x"}, Ports: []string{"http"}}, "1 to 65535"},
		{"bad environment", map[string]string{"bin/app": "x"}, BuildOptions{Entrypoint: []string{"/x"}, Env: []string{"X"}}, "KEY=value"},
	} {
		src := writeTree(t, c.files)
		c.o.Source, c.o.Name = filepath.Join(src, c.o.Source), mustRef(t, "shop:v4")
		if _, err := s.Build(context.Background(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want it to say %q", c.name, err, c.want)
		}
	}
}

// dockerSave makes an archive as docker save does: config and layers by file name, no manifest digest.
func dockerSave(t *testing.T, tags []string) []byte {
	t.Helper()
	layer := layerOf(member{name: "hello", body: "world"})
	manifest, err := json.Marshal([]map[string]any{{"Config": "c.json", "RepoTags": tags, "Layers": []string{"abc/layer.tar"}}})
	if err != nil {
		t.Fatal(err)
	}
	return layerOf(
		member{name: "abc/layer.tar", kind: tar.TypeSymlink, link: "../real/layer.tar"},
		member{name: "real/layer.tar", body: string(layer)},
		member{name: "c.json", body: `{"os":"linux","architecture":"amd64","config":{"Cmd":["/hello"]},"rootfs":{"type":"layers"}}`},
		member{name: "manifest.json", body: string(manifest)})
}

func TestDockerSaveAndOCIArchivesAreImported(t *testing.T) {
	s := newStore(t)
	got, err := s.Import(context.Background(), "-", bytes.NewReader(dockerSave(t, []string{"shop:v1", "gcr.io/x/shop:v1"})))
	if err != nil || len(got) != 2 || got[1].Ref.String() != "gcr.io/x/shop:v1" {
		t.Fatalf("docker save: %v, %v", got, err)
	}
	tree, err := s.Unpack(context.Background(), got[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Release()
	if b, err := os.ReadFile(filepath.Join(tree.Path, "hello")); err != nil || string(b) != "world" {
		t.Fatalf("content %q, %v", b, err)
	}
	// A store is an OCI layout itself, as a folder and as an archive.
	other := newStore(t)
	again, err := other.Import(context.Background(), s.Dir(), nil)
	if err != nil || len(again) != 2 || again[0].Digest != got[0].Digest {
		t.Fatalf("layout: %v, %v", again, err)
	}
	third := newStore(t)
	if _, err := third.Import(context.Background(), "-", bytes.NewReader(dockerSave(t, nil))); err == nil || !strings.Contains(err.Error(), "--name") {
		t.Fatalf("an archive without names: %v", err)
	}
	if _, err := third.Import(context.Background(), "-", bytes.NewReader(dockerSave(t, nil)), mustRef(t, "mine:1")); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Lookup(mustRef(t, "mine:1")); err != nil {
		t.Fatal(err)
	}
	for name, archive := range map[string][]byte{
		"not a tar":   []byte("hello hello hello"),
		"no image":    layerOf(member{name: "x", body: "y"}),
		"climbing":    layerOf(member{name: "../../x", body: "y"}),
		"link out":    layerOf(member{name: "abc", kind: tar.TypeSymlink, link: "/etc"}, member{name: "abc/x", body: "1"}),
		"config away": layerOf(member{name: "manifest.json", body: `[{"Config":"../../etc/passwd","RepoTags":["a:b"]}]`}),
	} {
		if _, err := third.Import(context.Background(), "-", bytes.NewReader(archive)); err == nil {
			t.Errorf("%s: was accepted", name)
		}
	}
}
