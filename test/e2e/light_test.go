package e2e

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"ebb.dev/ebb/test/freeport"
)

// lightPlatform is one of its own, with a light node; user runs it, nil is whoever runs the tests.
func lightPlatform(t *testing.T, user *syscall.Credential) *platform {
	t.Helper()
	home, err := os.MkdirTemp("/tmp", "ebbl")
	if err != nil {
		t.Fatal(err)
	}
	port := freeport.Must(t)
	light := newPlatform(shared.repo, shared.bin, filepath.Join(home, "s"), port)
	t.Cleanup(func() {
		if out, err := light.ebb("down", "--purge"); err != nil {
			t.Errorf("ebb down: %v\n%s", err, out)
		}
		os.RemoveAll(home)
	})
	if err := buildImages(light.repo, filepath.Join(light.state, "images")); err != nil {
		t.Fatal(err)
	}
	if user != nil {
		light.user, light.bin = user, filepath.Join(home, "bin")
		// The repository may be closed to others.
		if err := os.CopyFS(light.bin, os.DirFS(shared.bin)); err != nil {
			t.Fatal(err)
		}
		own := func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, int(user.Uid), int(user.Gid))
		}
		if err := filepath.WalkDir(home, own); err != nil {
			t.Fatal(err)
		}
	}
	light.up(t)
	if err := light.configure(); err != nil {
		t.Fatal(err)
	}
	return light
}

// up starts a platform with a light node, or starts it again.
func (p *platform) up(t *testing.T) {
	t.Helper()
	if out, err := p.ebb("up", "--detach", "--node", "light", "--http-port", fmt.Sprint(p.port)); err != nil {
		t.Fatalf("ebb up --node=light: %v\n%s", err, out)
	}
}

// TestAnOrdinaryUserWakesAService is the same without any right on the machine: in namespaces of the user's own where the system allows them.
func TestAnOrdinaryUserWakesAService(t *testing.T) {
	const nobody = 65534
	light := lightPlatform(t, &syscall.Credential{Uid: nobody, Gid: nobody})
	if launcher, err := light.component("launcher"); err != nil || launcher.PID == 0 {
		t.Skip("user namespaces are not allowed here: the node runs one replica a port, as its log says")
	}
	s := light.namespace(t)
	url := s.cold(app{name: "a", image: "gcr.io/knative-samples/helloworld-go", annotations: asleepAtFirst(), env: map[string]string{"TARGET": "v1"}})
	first := expect(t, url, "Hello v1!")
	s.asleep("a")
	t.Logf("first wake %s, wake from zero %s", first.took, expect(t, url, "Hello v1!").took)
	if got := many(t.Context(), kept, url, 200, 20); got.failures() > 0 {
		t.Errorf("200 requests: %v", got)
	}
}

// TestLightNodeServesWakesSplitsAndSleeps is the core of it all on pods that are plain processes.
func TestLightNodeServesWakesSplitsAndSleeps(t *testing.T) {
	light := lightPlatform(t, nil)
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
	if out, err := light.ebb("down"); err != nil {
		t.Fatalf("ebb down: %v\n%s", err, out)
	}
	light.up(t)
	if len(s.replicas("a")) == 0 {
		t.Error("who was awake when it went down sleeps before a window is over")
	}
	s.asleep("a") // with no request of this life, and so no word of its Envoys
	expect(t, url, "Hello v")
}
