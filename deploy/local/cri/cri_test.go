package cri

import (
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func config() Config {
	return Config{
		Root: "/s/containerd", State: "/s/run/c", Sockets: "/s/run/k", Conf: "/s/conf", Runc: "/usr/sbin/runc", Shim: "/bin/shim", CNI: "/usr/lib/cni",
		Snapshotter: "overlayfs", SandboxImage: "pause.ebb.local/pause:1", Bridge: "ebb0", PodCIDR: "10.244.0.0/24", Gateway: "10.244.0.1",
		Registry: "http://127.0.0.1:5050",
	}
}

func TestConfigurationOfContainerd(t *testing.T) {
	c := config()
	network, err := c.network()
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"containerd.toml": c.toml(), "network.conflist": network, "mirror.toml": c.mirror(), "local.toml": c.localOnly()} {
		path := filepath.Join("testdata", name)
		got = strings.ReplaceAll(got, "linux/"+runtime.GOARCH, "linux/ARCH")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s (rewrite with -update): %s", path, d)
		}
	}
}

func TestTheSandboxImageIsNamedByItsProgram(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for path, content := range map[string]string{one: "1", two: "2"} {
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	first, err := SandboxImage(one)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := SandboxImage(one)
	other, _ := SandboxImage(two)
	if first != again || first == other || !strings.HasPrefix(first, "pause.ebb.local/pause:") {
		t.Errorf("%s %s %s", first, again, other)
	}
	server, err := serveImage(first, one)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, tag, _ := strings.Cut(strings.TrimPrefix(first, "pause.ebb.local/"), ":")
	resp, err := http.Get(server.url + "/v2/pause/manifests/" + tag)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if data, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !strings.Contains(string(data), "layers") {
		t.Errorf("%d %s", resp.StatusCode, data)
	}
	if _, err := SandboxImage(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "make") {
		t.Errorf("a missing program: %v", err)
	}
}

// TestTheSandboxImageNeedsNoNetwork runs the real containerd, if it is built.
func TestTheSandboxImageNeedsNoNetwork(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("containerd needs root")
	}
	bin := os.Getenv("EBB_BIN")
	if bin == "" {
		bin = "../../../bin"
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"containerd", "ebb-pause"} {
		if _, err := os.Stat(filepath.Join(bin, p)); err != nil {
			t.Skipf("%s is not built: make platform", p)
		}
	}
	dir, err := os.MkdirTemp("/tmp", "ebbc")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c := config()
	c.Root, c.State, c.Sockets, c.Conf, c.Snapshotter = dir+"/r", dir+"/c", dir+"/k", dir+"/f", "native"
	if c.SandboxImage, err = SandboxImage(bin + "/ebb-pause"); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin+"/containerd", "--config", c.File())
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() }()
	client, err := Connect(c.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for err = client.Ready(ctx); err != nil; err = client.Ready(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("%v\n%s", err, log.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	for range 2 {
		if err := EnsureSandboxImage(ctx, client.Images, c, bin+"/ebb-pause"); err != nil {
			t.Fatalf("%v\n%s", err, log.String())
		}
	}
	images, err := client.Images.ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil || len(images.Images) != 1 || !images.Images[0].Pinned {
		t.Errorf("%v %v", images, err)
	}
	if strings.Contains(log.String(), "migrated") {
		t.Errorf("the configuration is of an old version: %s", log.String())
	}
}
