package light

import (
	"os"
	"path/filepath"
	"testing"

	"ebb.dev/ebb/deploy/local/mount"
)

// What a node that crashed has left is gone when the next one begins, mounts too.
func TestMemoryIsMadeAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "memory")
	var last func() error
	for range 2 {
		release, err := openMemory(dir)
		if err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Fatalf("left in it: %v %v", left, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "token"), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		last = release
	}
	mounts, err := mount.Below(dir)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case len(mounts) == 0:
		t.Log("it lies on disk: nothing may be mounted here")
	case len(mounts) != 1:
		t.Errorf("mounted %d times", len(mounts))
	}
	if err := last(); err != nil {
		t.Error(err)
	}
	if mounts, err := mount.Below(dir); err != nil || len(mounts) > 0 {
		t.Errorf("still mounted: %v %v", mounts, err)
	}
}
