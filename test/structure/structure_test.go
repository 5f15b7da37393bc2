package structure

import (
	"bufio"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "ebb.dev/ebb/"

// root is the main module's folder.
const root = "../.."

// goFiles lists the Go files of the main module by folder.
func goFiles(t *testing.T) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			name := entry.Name()
			nested := false
			if path != root {
				_, statErr := os.Stat(filepath.Join(path, "go.mod"))
				nested = statErr == nil
			}
			if name == "testdata" || name == "bin" || name == "node_modules" || (strings.HasPrefix(name, ".") && path != root) || nested {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") {
			dir, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			files[dir] = append(files[dir], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// mayImport are the rooms a room may import besides itself. Test files may import more.
var mayImport = map[string][]string{
	"crds":      {},
	"xds":       {"crds"},
	"serving":   {"crds"},
	"autoscale": {"crds"},
	"eventing":  {"crds"},
	// The bootstrap and the goldens speak Envoy's language as xds/envoy does.
	"deploy": {"crds", "xds"},
	"test":   {"crds", "xds", "serving", "autoscale", "eventing", "deploy", "cmd"},
	"cmd":    {"crds", "xds", "serving", "autoscale", "eventing", "deploy"},
}

func room(dir string) string { return strings.SplitN(filepath.ToSlash(dir), "/", 2)[0] }

func imports(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, spec := range parsed.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, path)
	}
	return out
}

func TestImportsPointOneWay(t *testing.T) {
	for dir, files := range goFiles(t) {
		allowed, known := mayImport[room(dir)]
		if !known {
			t.Errorf("%s belongs to no room", dir)
			continue
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, path := range imports(t, file) {
				inside, ours := strings.CutPrefix(path, module)
				if !ours {
					continue
				}
				if target := room(inside); target != room(dir) && !contains(allowed, target) {
					t.Errorf("%s imports %s: %s may import %v", file, path, room(dir), allowed)
				}
			}
		}
	}
}

// pure packages decide: they do no I/O and read no clock.
var pure = map[string]bool{
	"xds/model": true, "xds/build": true, "xds/envoy": true, "autoscale/decide": true, "serving/rollout": true, "eventing/filter": true,
	"crds/cesql": true, "crds/cesql/attribute": true, "eventing/model": true, "eventing/exposure": true,
	"eventing/dispatch/position": true,
}

// effects are what a pure package may not import.
var effects = []string{"os", "net", "net/http", "io/fs", "os/exec", "syscall", "log/slog", "k8s.io/client-go/kubernetes", "google.golang.org/grpc"}

func TestDecisionsArePure(t *testing.T) {
	for dir, files := range goFiles(t) {
		if !pure[filepath.ToSlash(dir)] {
			continue
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, path := range imports(t, file) {
				if contains(effects, path) {
					t.Errorf("%s imports %s: it is to decide, not to act", file, path)
				}
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, clock := range []string{"time.Now(", "time.Since(", "time.After(", "time.NewTimer(", "time.Sleep("} {
				if strings.Contains(string(source), clock) {
					t.Errorf("%s reads a clock: %s)", file, clock)
				}
			}
		}
	}
}

// longest is how many lines a file may have.
const longest = 600

func TestFilesAreShort(t *testing.T) {
	for _, files := range goFiles(t) {
		for _, file := range files {
			if strings.Contains(filepath.Base(file), "zz_generated") || strings.HasSuffix(file, ".pb.go") {
				continue
			}
			if n := lines(t, file); n > longest {
				t.Errorf("%s has %d lines; split it by job", file, n)
			}
		}
	}
}

func lines(t *testing.T, file string) int {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for scanner := bufio.NewScanner(f); scanner.Scan(); n++ {
	}
	return n
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	for dir, files := range goFiles(t) {
		documented, onlyTests := false, true
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			onlyTests = false
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || parsed.Doc != nil
		}
		if !documented && !onlyTests {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}
