package imagecmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func run(t *testing.T, store string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := New(store)
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestTheCommandsBuildListAndRemove(t *testing.T) {
	store, src := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(src, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(src, "bin/shop"), []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, store, "build", src, "--name", "shop:v4", "--entrypoint", "/bin/shop", "--port", "8080", "-e", "A=b")
	if err != nil || !strings.HasPrefix(out, "shop:v4  sha256:") {
		t.Fatalf("build: %q, %v", out, err)
	}
	if out, err = run(t, store, "import", store, "--name", "copy:v1"); err != nil || !strings.HasPrefix(out, "copy:v1  sha256:") {
		t.Fatalf("import: %q, %v", out, err)
	}
	if out, err = run(t, store, "list"); err != nil || !strings.Contains(out, "shop:v4") || !strings.Contains(out, "copy:v1") {
		t.Fatalf("list: %q, %v", out, err)
	}
	if out, err = run(t, store, "rm", "shop:v4", "copy:v1"); err != nil || strings.Count(out, "removed") != 2 {
		t.Fatalf("rm: %q, %v", out, err)
	}
	if _, err = run(t, store, "rm", "shop:v4"); err == nil || !strings.Contains(err.Error(), "ebb image list") {
		t.Fatalf("second rm: %v", err)
	}
	if _, err = run(t, store, "build", src); err == nil || !strings.Contains(err.Error(), "name") {
		t.Fatalf("build without a name: %v", err)
	}
}
