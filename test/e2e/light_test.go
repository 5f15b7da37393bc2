package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLightNodeServesWakesSplitsAndSleeps is the core of it all on pods that are plain processes.
func TestLightNodeServesWakesSplitsAndSleeps(t *testing.T) {
	state, err := os.MkdirTemp("", "ebbe2el")
	if err != nil {
		t.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	light := newPlatform(shared.repo, shared.bin, state, port)
	t.Cleanup(func() {
		if out, err := light.ebb("down", "--purge"); err != nil {
			t.Errorf("ebb down: %v\n%s", err, out)
		}
		os.RemoveAll(state)
	})
	if err := buildImages(light.repo, filepath.Join(state, "images")); err != nil {
		t.Fatal(err)
	}
	out, err := light.ebb("up", "--detach", "--node", "light", "--http-port", fmt.Sprint(port))
	if err != nil && strings.Contains(out, "not wired yet") {
		t.Skipf("ebb up --node=light is not ready yet:\n%s", out)
	}
	if err != nil {
		t.Fatalf("ebb up --node=light: %v\n%s", err, out)
	}
	if err := light.configure(); err != nil {
		t.Fatal(err)
	}
	s := light.namespace(t)
	a := app{name: "a", image: "gcr.io/knative-samples/helloworld-go", annotations: asleepAtFirst(), env: map[string]string{"TARGET": "v1"}}
	url := s.cold(a)
	first := expect(t, url, "Hello v1!")
	s.asleep("a")
	again := expect(t, url, "Hello v1!")
	t.Logf("first wake %s, wake from zero %s", first.took, again.took)
	a.env = map[string]string{"TARGET": "v2"}
	a.traffic = []map[string]any{{"revisionName": "a-00001", "percent": 80}, {"revisionName": "a-00002", "percent": 20}}
	s.apply(a.manifest())
	s.must("wait", "ksvc/a", "--for=jsonpath={.status.latestReadyRevisionName}=a-00002", "--timeout=60s")
	s.ready("a")
	becomes(t, url, http.StatusOK, "Hello v2!")
	got := many(t.Context(), kept, url, 1000, 10)
	t.Log(got)
	if n := got.bodies["Hello v1!"]; got.failures() > 0 || n < 737 || n > 863 {
		t.Errorf("%d of 1000 from v1: %v", n, got)
	}
}
