package sandbox

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// Containers that have the same things mounted share what lies beneath their images.
func TestMountTargetsLieBeneathTheImage(t *testing.T) {
	b := targets{dir: t.TempDir(), known: map[string]string{}}
	hosts, token := tree{target: "/etc/hosts"}, tree{target: "/var/run/secrets/token/", dir: true}
	layer := filepath.Join(b.dir, "0")
	if got := b.lower("/image", []tree{hosts, token}, "/proc", "app"); got != "/image:"+layer {
		t.Fatalf("lower is %s", got)
	}
	for name, dir := range map[string]bool{"etc": true, "etc/hosts": false, "var/run/secrets/token": true, "proc": true, "app": true} {
		if info, err := os.Stat(filepath.Join(layer, name)); err != nil || info.IsDir() != dir {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	if got := b.lower("/other", []tree{token, hosts, hosts}, "/proc", "/app"); got != "/other:"+layer {
		t.Errorf("the same targets of another image: %s", got)
	}
	if got := b.lower("/image", []tree{{target: "../../etc/hosts"}}); got != "/image:"+filepath.Join(b.dir, "1") {
		t.Errorf("other targets: %s", got)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "1", "etc", "hosts")); err != nil {
		t.Errorf("a target that climbs stays inside: %v", err)
	}
	for range 2 {
		if got := b.lower("/image", []tree{hosts, {target: "/etc/hosts/x", dir: true}}); got != "/image" {
			t.Errorf("a directory in a file is for the mount to refuse: %s", got)
		}
	}
	for i := range mostTargets {
		b.lower("/image", []tree{{target: "/" + strconv.Itoa(i), dir: true}})
	}
	if got := b.lower("/image", []tree{{target: "/one-more"}}); got != "/image" {
		t.Errorf("beyond the most: %s", got)
	}
}
