package cri

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// pauseHost is the registry name of the sandbox image. No such host exists: containerd learns where to find it for the moment of the pull.
func pauseHost() string { return "pause.ebb.local" }

// SandboxImage is the reference of the image that holds the program at path. Another program has another reference.
func SandboxImage(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("sandbox program: %w; build it with: make", err)
	}
	sum := sha256.Sum256(data)
	return pauseHost() + "/pause:" + hex.EncodeToString(sum[:6]), nil
}

// EnsureSandboxImage puts the image made of program into containerd's store if it is not there, without any network: a registry that lives
// as long as the pull serves it on loopback.
func EnsureSandboxImage(ctx context.Context, images runtimeapi.ImageServiceClient, c Config, program string) error {
	spec := &runtimeapi.ImageSpec{Image: c.SandboxImage}
	status, err := images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: spec})
	if err != nil {
		return fmt.Errorf("sandbox image %s: %w", c.SandboxImage, err)
	}
	if status.Image != nil {
		return nil
	}
	server, err := serveImage(c.SandboxImage, program)
	if err != nil {
		return fmt.Errorf("sandbox image %s: %w", c.SandboxImage, err)
	}
	defer server.Close()
	hosts := fmt.Sprintf("server = %q\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", server.url, server.url)
	path := filepath.Join(c.hosts(), pauseHost(), "hosts.toml")
	if err := os.WriteFile(path, []byte(hosts), 0o600); err != nil {
		return err
	}
	if _, err := images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec}); err != nil {
		return fmt.Errorf("sandbox image %s: %w", c.SandboxImage, err)
	}
	return nil
}

// imageServer is a registry with one image.
type imageServer struct {
	*http.Server
	url string
}

func serveImage(reference, program string) (*imageServer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	quiet := log.New(io.Discard, "", 0)
	s := &imageServer{&http.Server{Handler: registry.New(registry.Logger(quiet)), ErrorLog: quiet}, "http://" + listener.Addr().String()}
	go func() { _ = s.Serve(listener) }()
	image, err := programImage(program)
	if err != nil {
		s.Close()
		return nil, err
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		s.Close()
		return nil, err
	}
	target, err := name.NewTag(listener.Addr().String()+"/"+tag.RepositoryStr()+":"+tag.TagStr(), name.Insecure)
	if err != nil {
		s.Close()
		return nil, err
	}
	if err := remote.Write(target, image); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// programImage is an image with one file, /pause, that it runs.
func programImage(program string) (v1.Image, error) {
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "pause", Mode: 0o755, Size: int64(len(data))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config.Entrypoint = []string{"/pause"}
	file.Config.User = "65535:65535"
	return mutate.ConfigFile(image, file)
}
