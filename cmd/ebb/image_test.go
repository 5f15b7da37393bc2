package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"ebb.dev/ebb/test/programs"
)

// What a cluster pulls is what was made here: ebb first, as nobody in particular, with Envoy beside it.
func TestThePlatformImageIsPushed(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	envoy := programs.Envoy(t)
	image := strings.TrimPrefix(server.URL, "http://") + "/ebb:v1"
	cmd := newImageCommand()
	var out strings.Builder
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"platform", "--store", t.TempDir(), "--name", image, "--envoy", envoy, "--push"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(image)
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	file, err := pulled.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := file.Config; got.User != "65532:65532" || len(got.Entrypoint) != 1 || got.Entrypoint[0] != "/usr/local/bin/ebb" {
		t.Errorf("%+v", got)
	}
	digest, err := pulled.Digest()
	if err != nil || !strings.Contains(out.String(), digest.String()) {
		t.Errorf("%s, but it says %s (%v)", digest, out.String(), err)
	}
}

func TestThePlatformImageNeedsAnEnvoy(t *testing.T) {
	cmd := newImageCommand()
	cmd.SetArgs([]string{"platform", "--store", t.TempDir(), "--name", "ebb:v1", "--envoy", ""})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "make bin/envoy") {
		t.Error(err)
	}
}

func TestASidecarNeedsContainers(t *testing.T) {
	for name, c := range map[string]struct {
		proxy, node string
		refused     bool
	}{
		"as it is":     {"node", "light", false},
		"a container":  {"sidecar", "kubelet", false},
		"no container": {"sidecar", "light", true},
		"no such":      {"cloud", "kubelet", true},
	} {
		f := upFlags{choices: choices{replicaProxy: c.proxy}}
		f.Node = c.node
		if err := f.checkReplicaProxy(); (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImagesOfAPlatformAreNamedByItsState(t *testing.T) {
	dir := t.TempDir()
	list := func(args ...string) error {
		cmd := newImageCommand()
		cmd.SetOut(io.Discard)
		cmd.SetArgs(append([]string{"list"}, args...))
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		return cmd.ExecuteContext(t.Context())
	}
	if err := list("--state", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(storeIn(dir)); err != nil {
		t.Error(err)
	}
	if err := list("--state", dir, "--store", dir); err == nil || !strings.Contains(err.Error(), "state") {
		t.Errorf("both: %v", err)
	}
}
