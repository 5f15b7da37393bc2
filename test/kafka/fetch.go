package kafka

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

//go:embed pom.xml
var pom []byte

// sums names every jar with its SHA-256, as sha256sum prints them.
//
//go:embed jars.sha256
var sums []byte

// Missing says what is not there to run Kafka with, and how to get it.
type Missing struct{ What, Remedy string }

func (m *Missing) Error() string { return m.What + "; " + m.Remedy }

// Fetch returns the folder of Kafka's jars, fetching them if they are not in the cache. An error that is *Missing says what to install; any
// other one that what was fetched is not what is pinned, or cannot be stored.
func Fetch(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return "", &Missing{"no Apache Kafka: java is not installed", "install a JRE of version 17 or later"}
	}
	root, err := repository()
	if err != nil {
		return "", err
	}
	cache := filepath.Join(root, ".cache", "kafka")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("the cache of Kafka's jars: %w", err)
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	pinned := sha256.Sum256(append(append([]byte{}, pom...), sums...))
	dir := filepath.Join(cache, hex.EncodeToString(pinned[:8]))
	if err := verify(dir); err == nil {
		return dir, nil
	}
	if err := download(ctx, cache, dir); err != nil {
		return "", err
	}
	return dir, nil
}

// download has Maven bring the jars, and keeps them if they are those that are pinned.
func download(ctx context.Context, cache, dir string) error {
	if _, err := exec.LookPath("mvn"); err != nil {
		return &Missing{"no Apache Kafka: mvn is not installed and " + dir + " does not have its jars", "install Maven"}
	}
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return fmt.Errorf("the cache of Kafka's jars: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o644); err != nil {
		return fmt.Errorf("the cache of Kafka's jars: %w", err)
	}
	jars := filepath.Join(work, "jars")
	mvn := exec.CommandContext(ctx, "mvn", "--batch-mode", "--no-transfer-progress", "--strict-checksums", "--quiet",
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+jars)
	mvn.Dir = work
	if out, err := mvn.CombinedOutput(); err != nil {
		return &Missing{fmt.Sprintf("no Apache Kafka: Maven cannot fetch it: %v: %s", err, tail(out)), "see that Maven reaches its repositories"}
	}
	if err := verify(jars); err != nil {
		return fmt.Errorf("what Maven fetched is not what test/kafka/jars.sha256 pins: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("the cache of Kafka's jars: %w", err)
	}
	if err := os.Rename(jars, dir); err != nil {
		return fmt.Errorf("the cache of Kafka's jars: %w", err)
	}
	return nil
}

// tail is the end of what a command said, in a line.
func tail(out []byte) string {
	const most = 600
	out = bytes.TrimSpace(out)
	out = out[max(0, len(out)-most):]
	return strings.Join(strings.Fields(string(out)), " ")
}

// verify compares a folder with the pinned sums: every jar is there and as it should be, and no other one.
func verify(dir string) error {
	left := map[string]bool{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		left[entry.Name()] = true
	}
	lines := bufio.NewScanner(bytes.NewReader(sums))
	for lines.Scan() {
		want, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok {
			return fmt.Errorf("jars.sha256: %q is no sum and name", lines.Text())
		}
		got, err := sum(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s has the sum %s, %s is pinned", name, got, want)
		}
		delete(left, name)
	}
	for name := range left {
		return fmt.Errorf("%s is not pinned", name)
	}
	return nil
}

func sum(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// lock keeps other test processes out until the function it returns is called.
func lock(file string) (func(), error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("the cache of Kafka's jars: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	return func() { f.Close() }, nil
}

// repository is the folder of the module that the working directory is in.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("kafka for tests: this does not run inside the repository")
		}
		dir = parent
	}
}
