package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// clientPod is a pod with a shell and an HTTP client, and no revision's.
const clientPod = `
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: client
    image: williamyeh/hey
    command: [/bin/sh, -c, "read forever"]
    stdin: true
    env: [{name: GREETING, value: good morning}]
`

func (s *space) client() {
	s.t.Helper()
	s.apply(clientPod)
	s.must("wait", "pod/client", "--for=condition=Ready", "--timeout=60s")
}

// fromAPod asks n times from the client pod and wants the same answer each time.
func (s *space) fromAPod(url string, n, code int) {
	s.t.Helper()
	want := fmt.Sprintf("[%d]\t%d responses", code, n)
	eventually(s.t, 30*time.Second, url+" from a pod", func() error {
		out, err := s.try("exec", "client", "--", "hey", "-n", strconv.Itoa(n), "-c", "1", url)
		if err != nil || !strings.Contains(out, want) {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

func TestPodsReachServicesByTheirClusterNames(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.client()
	// Never a replica before: the first request of a pod wakes it.
	external := s.cold(app{name: "hello-world"})
	if got := s.path("ksvc/hello-world", "{.status.address.url}"); got != "http://hello-world."+s.name+".svc.cluster.local" {
		t.Errorf("status.address.url %q", got)
	}
	s.fromAPod("http://hello-world."+s.name+".svc.cluster.local", 5, http.StatusOK)
	s.fromAPod("http://hello-world."+s.name, 5, http.StatusOK)
	expect(t, external, "Hello World!")
}

func TestClusterLocalServiceIsReachedByPodsAlone(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.client()
	s.serve(app{name: "private", labels: map[string]string{"networking.knative.dev/visibility": "cluster-local"}})
	inside := "http://private." + s.name + ".svc.cluster.local"
	outside := fmt.Sprintf("http://private.%s.localhost:%d", s.name, s.port)
	if got := s.url("private"); got != inside {
		t.Errorf("status.url %q", got)
	}
	s.fromAPod(inside, 3, http.StatusOK)
	becomes(t, outside, http.StatusNotFound, "")
	// The inside name is of no use outside either.
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, outside, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "private." + s.name + ".svc.cluster.local"
	if got, err := do(fresh, request); err != nil || got.code != http.StatusNotFound {
		t.Errorf("by its inside name from outside: %v %d", err, got.code)
	}
	s.must("label", "ksvc", "private", "networking.knative.dev/visibility-")
	becomes(t, outside, http.StatusOK, "Hello World!")
	s.must("label", "ksvc", "private", "networking.knative.dev/visibility=cluster-local")
	becomes(t, outside, http.StatusNotFound, "")
	s.fromAPod(inside, 3, http.StatusOK)
}
