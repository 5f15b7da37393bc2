package image

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	ociv1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nonroot is the user that programs built from Go run as, the number that distroless images use.
const nonroot = 65532

// Kind says what a build makes its image from.
type Kind string

// The kinds of build.
const (
	KindAuto   Kind = ""       // told by looking at the source
	KindGo     Kind = "go"     // a directory with a Go main package
	KindBinary Kind = "binary" // a statically linked program
	KindRootfs Kind = "rootfs" // a directory that is to be the image's /
)

// BuildOptions describe a build. Only Source and Name are needed.
type BuildOptions struct {
	Source string // a directory or file
	Name   Ref
	Kind   Kind

	Entrypoint []string // default: the program that was built
	Cmd        []string
	Env        []string // KEY=value
	User       string   // default 65532 for Go and binaries, root for rootfs
	WorkingDir string
	Ports      []string // 8080, 8080/tcp
	Labels     map[string]string
	StopSignal string

	Program        string // name of the program's file in the image, default the name of the source
	CACertificates string // file with PEM certificates to put at /etc/ssl/certs/ca-certificates.crt
	GoFlags        []string
}

// Build makes an image of one layer without a daemon and names it. The same source and options give the same digest: times are the
// epoch (or SOURCE_DATE_EPOCH), Go programs are built with -trimpath and without build ids.
func (s *Store) Build(ctx context.Context, o BuildOptions) (ociv1.Hash, error) {
	digest, err := s.build(ctx, o)
	if err != nil {
		return ociv1.Hash{}, fmt.Errorf("build %s from %s: %w", o.Name.Familiar(), o.Source, err)
	}
	return digest, nil
}

func (s *Store) build(ctx context.Context, o BuildOptions) (ociv1.Hash, error) {
	epoch, err := sourceDateEpoch()
	if err != nil {
		return ociv1.Hash{}, err
	}
	if o.Kind == KindAuto {
		if o.Kind, err = detectKind(o); err != nil {
			return ociv1.Hash{}, err
		}
	}
	if o.Kind == KindRootfs {
		if len(o.Entrypoint) == 0 && len(o.Cmd) == 0 {
			return ociv1.Hash{}, errors.New("a root file system does not say what to run; add --entrypoint PROGRAM")
		}
		return s.buildImage(ctx, o, epoch, treeMembers(o.Source))
	}
	source := o.Source
	if o.Kind == KindGo {
		work, err := os.MkdirTemp("", "ebb-build-")
		if err != nil {
			return ociv1.Hash{}, err
		}
		defer os.RemoveAll(work)
		if source, err = goBuild(ctx, o, work); err != nil {
			return ociv1.Hash{}, err
		}
	}
	if err := checkStatic(source); err != nil {
		return ociv1.Hash{}, err
	}
	var certificates []byte
	if o.CACertificates != "" {
		if certificates, err = os.ReadFile(o.CACertificates); err != nil {
			return ociv1.Hash{}, fmt.Errorf("CA certificates: %w", err)
		}
	}
	program := programPath(programName(o))
	if len(o.Entrypoint) == 0 {
		o.Entrypoint = []string{"/" + program}
	}
	if o.User == "" {
		o.User = fmt.Sprintf("%d:%d", nonroot, nonroot)
	}
	if !hasPath(o.Env) {
		o.Env = append(slices.Clone(o.Env), "PATH=/app:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	return s.buildImage(ctx, o, epoch, programMembers(program, source, certificates))
}

func programName(o BuildOptions) string {
	if o.Program != "" {
		return o.Program
	}
	return filepath.Base(absolute(o.Source))
}

func hasPath(env []string) bool {
	return slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "PATH=") })
}

// detectKind looks at the source. A directory with a Dockerfile is refused: its author meant something that this cannot do.
func detectKind(o BuildOptions) (Kind, error) {
	info, err := os.Stat(o.Source)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		if strings.HasPrefix(filepath.Base(o.Source), "Dockerfile") || filepath.Base(o.Source) == "Containerfile" {
			return "", dockerfileError(o, filepath.Dir(o.Source), filepath.Base(o.Source))
		}
		return KindBinary, nil
	}
	goFiles, err := filepath.Glob(filepath.Join(o.Source, "*.go"))
	if err != nil {
		return "", err
	}
	for _, name := range []string{"Dockerfile", "Containerfile"} {
		if _, err := os.Stat(filepath.Join(o.Source, name)); err == nil {
			err := dockerfileError(o, o.Source, name)
			if len(goFiles) > 0 {
				err = fmt.Errorf("%w; or leave the %s aside and build the Go program: add --kind go", err, name)
			}
			return "", err
		}
	}
	if len(goFiles) > 0 {
		return KindGo, nil
	}
	return KindRootfs, nil
}

func dockerfileError(o BuildOptions, dir, file string) error {
	return fmt.Errorf("%s needs a builder, and this build runs none; build it where there is one and hand the image over: "+
		"docker build -t %[2]s %[3]s && docker save %[2]s | ebb image import - --name %[2]s", file, o.Name.Familiar(), dir)
}

// goBuild compiles the main package and returns the binary's path.
func goBuild(ctx context.Context, o BuildOptions, work string) (string, error) {
	out := filepath.Join(work, "program")
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out}
	args = append(append(args, o.GoFlags...), ".")
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = o.Source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	output, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("the go command is not in PATH; install Go, or build the program elsewhere and pass the binary")
	}
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, bytes.TrimSpace(output))
	}
	return out, nil
}

// checkStatic refuses programs that need a file system around them to start.
func checkStatic(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return fmt.Errorf("%s is not a Linux program (%w); pass a statically linked binary, a Go main package, or a root file system with --kind rootfs", file, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is linked dynamically, its image would lack the libraries; link it statically (Go: CGO_ENABLED=0) or pass a root file system with --kind rootfs", file)
		}
	}
	return nil
}

func (s *Store) buildImage(ctx context.Context, o BuildOptions, epoch time.Time, members func(func(layerFile) error) error) (ociv1.Hash, error) {
	ports, err := exposedPorts(o.Ports)
	if err != nil {
		return ociv1.Hash{}, err
	}
	for _, kv := range o.Env {
		if k, _, ok := strings.Cut(kv, "="); !ok || k == "" {
			return ociv1.Hash{}, fmt.Errorf("environment %q: write KEY=value", kv)
		}
	}
	layer, diffID, err := s.putLayer(ctx, epoch, members)
	if err != nil {
		return ociv1.Hash{}, err
	}
	config := ociv1.ConfigFile{
		Architecture: runtime.GOARCH,
		OS:           "linux",
		Created:      ociv1.Time{Time: epoch},
		RootFS:       ociv1.RootFS{Type: "layers", DiffIDs: []ociv1.Hash{diffID}},
		History:      []ociv1.History{{Created: ociv1.Time{Time: epoch}, CreatedBy: "ebb image build"}},
		Config: ociv1.Config{
			Entrypoint: o.Entrypoint, Cmd: o.Cmd, Env: o.Env, User: o.User, WorkingDir: o.WorkingDir,
			ExposedPorts: ports, Labels: o.Labels, StopSignal: o.StopSignal,
		},
	}
	if !hasPath(config.Config.Env) {
		config.Config.Env = append(slices.Clone(config.Config.Env), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	cd, err := s.putJSON(config, types.OCIConfigJSON)
	if err != nil {
		return ociv1.Hash{}, err
	}
	md, err := s.putJSON(ociv1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: cd, Layers: []ociv1.Descriptor{layer},
	}, types.OCIManifestSchema1)
	if err != nil {
		return ociv1.Hash{}, err
	}
	return md.Digest, s.Tag(o.Name, md.Digest)
}

func exposedPorts(ports []string) (map[string]struct{}, error) {
	if len(ports) == 0 {
		return nil, nil
	}
	exposed := map[string]struct{}{}
	for _, p := range ports {
		number, protocol, found := strings.Cut(p, "/")
		if !found {
			protocol = "tcp"
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 || protocol != "tcp" && protocol != "udp" {
			return nil, fmt.Errorf("port %q: write a number from 1 to 65535, with /udp if it is not tcp", p)
		}
		exposed[path.Join(number, protocol)] = struct{}{}
	}
	return exposed, nil
}

func sourceDateEpoch() (time.Time, error) {
	v := os.Getenv("SOURCE_DATE_EPOCH")
	if v == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: not a number of seconds", v)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
