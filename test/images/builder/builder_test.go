package builder

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/test/images/catalog"
)

func TestEveryImageOfTheCatalogBuildsAndHelloStartsInMilliseconds(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command: it builds programs")
	}
	store, err := image.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range catalog.Images {
		if _, err := Build(t.Context(), store, "..", i); err != nil {
			t.Fatal(err)
		}
	}
	ref, err := image.ParseRef("gcr.io/knative-samples/helloworld-go")
	if err != nil {
		t.Fatal(err)
	}
	digest, err := store.Lookup(ref)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := store.Unpack(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Release()
	var took []time.Duration
	for range 9 {
		took = append(took, hello(t, filepath.Join(tree.Path, tree.Config.Config.Entrypoint[0])))
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	t.Logf("helloworld-go: exec → answer p50 %s", took[len(took)/2])
}

// hello starts the program, waits for its answer and ends it.
func hello(t *testing.T, program string) time.Duration {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := exec.Command(program)
	cmd.Env = []string{fmt.Sprintf("PORT=%d", port), "TARGET=you"}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err != nil && time.Since(began) < 10*time.Second {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != "Hello you!\n" {
			t.Fatalf("answered %q, %v", body, err)
		}
		return time.Since(began)
	}
}
