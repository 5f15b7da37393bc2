package programs

import (
	"os"
	"path/filepath"
	"testing"
)

// Envoy is the path of what stands in for an Envoy, with an ebb-sidecar beside it: any Linux program will do, and is this test's own.
func Envoy(t testing.TB) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"envoy", "ebb-sidecar"} {
		if err := os.Symlink(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "envoy")
}
