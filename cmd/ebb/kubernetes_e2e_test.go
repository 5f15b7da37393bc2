package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ebb.dev/ebb/deploy/image"
	"ebb.dev/ebb/deploy/image/bundle"
)

// Names of images that no registry outside is asked about: Knative's own exceptions.
const (
	clusterImage = "dev.local/ebb:v1"
	clusterApp   = "dev.local/app:v1"
)

const sleepingApp = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello}
spec:
  template:
    metadata:
      annotations: {autoscaling.knative.dev/window: 6s}
    spec:
      containers: [{image: dev.local/app:v1}]
`

// Ebb runs on a Kubernetes that knows nothing of it, from its manifests alone and with no right beyond them: a service is served, sleeps
// and wakes, its proxies beside its replicas or on the node.
func TestEbbRunsOnAnyCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts two whole clusters")
	}
	for _, kustomization := range []struct {
		folder, proxies string
		containers      int
	}{{".", "sidecar", 2}, {"node", "node", 1}} {
		t.Run(kustomization.proxies, func(t *testing.T) {
			m := newMachine(t)
			m.up()
			m.serveImages()
			m.kubectl("apply", "--server-side", "-k", clusterKustomization(t, kustomization.folder))
			m.rolledOut("deployment/ebb-control-plane", "deployment/ebb-gateway")
			if kustomization.proxies == "node" {
				m.rolledOut("daemonset/ebb-node")
			}
			m.kubectl("patch", "--namespace", "knative-serving", "configmap/config-domain", "--type=merge", "--patch", `{"data":{"example.org":""}}`)
			gateway := strings.TrimSpace(m.kubectl("get", "--namespace", "ebb-system", "service/ebb-gateway", "--output", "jsonpath={.spec.clusterIP}"))
			m.applyText(sleepingApp)
			m.kubectl("wait", "--for=condition=Ready", "--timeout=120s", "service.serving.knative.dev/hello")
			address, err := url.Parse(m.kubectl("get", "service.serving.knative.dev/hello", "--output", "jsonpath={.status.url}"))
			if err != nil {
				t.Fatal(err)
			}
			ask := func() string {
				return m.inside("curl", "--silent", "--show-error", "--max-time", "60", "--write-out", " %{http_code} %{time_total}", "--header", "Host: "+address.Host, "http://"+gateway+"/")
			}
			for round := range 2 {
				m.eventually("the service sleeps", func() string {
					return m.kubectl("get", "pods", "--selector", "serving.knative.dev/service=hello", "--output", "name")
				})
				if answer := ask(); !strings.Contains(answer, " 200 ") {
					t.Fatalf("wake %d: %s\n%s", round, answer, m.troubles())
				} else {
					t.Logf("wake %d: %s", round, answer)
				}
				m.eventually("its pod is ready", func() string {
					got := m.kubectl("get", "pods", "--selector", "serving.knative.dev/service=hello", "--no-headers")
					if want := fmt.Sprintf("%d/%[1]d", kustomization.containers); !strings.Contains(got, want) {
						return "no " + want + " in: " + got
					}
					return ""
				})
			}
			if failed := m.kubectl("get", "events", "--field-selector", "reason=FailedPreStopHook", "--output", "name"); failed != "" {
				t.Errorf("pods ended without being drained: %s", failed)
			}
			logs := m.kubectl("logs", "--namespace", "ebb-system", "deployment/ebb-control-plane")
			if strings.Contains(logs, "forbidden") {
				t.Errorf("the control plane lacks a right:\n%s", logs)
			}
		})
	}
}

// clusterKustomization names the image, as users do.
func clusterKustomization(t *testing.T, folder string) string {
	t.Helper()
	dir := t.TempDir()
	base, err := filepath.Abs("../../deploy/kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	if base, err = filepath.Rel(dir, filepath.Join(base, folder)); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [%s]\nimages: [{name: ebb, newName: dev.local/ebb, newTag: v1}]\n", base)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// serveImages serves Ebb's own image and the test app where the platform's registry is expected.
func (m *machine) serveImages() {
	m.t.Helper()
	programs := binaries(m.t, "ebb", "envoy")
	dir := m.t.TempDir()
	store, err := image.Open(dir)
	if err != nil {
		m.t.Fatal(err)
	}
	own, err := image.ParseRef(clusterImage)
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := bundle.Build(m.t.Context(), store, own, bundle.Ebb(filepath.Join(programs, "ebb"), filepath.Join(programs, "envoy"))); err != nil {
		m.t.Fatal(err)
	}
	app, err := image.ParseRef(clusterApp)
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := store.Build(m.t.Context(), image.BuildOptions{Source: "../../test/images/helloworld-go", Name: app}); err != nil {
		m.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := m.command(self, "127.0.0.1:5050", dir)
	cmd.Env = append(os.Environ(), "EBB_TEST_ROLE=images")
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

func (m *machine) applyText(text string) {
	m.t.Helper()
	file := filepath.Join(m.t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.eventually("the manifest is taken", func() string {
		if out, err := m.tryKubectl("apply", "--filename", file); err != nil {
			return out
		}
		return ""
	})
}

func (m *machine) rolledOut(names ...string) {
	m.t.Helper()
	for _, name := range names {
		if out, err := m.tryKubectl("rollout", "status", "--namespace", "ebb-system", "--timeout=120s", name); err != nil {
			m.t.Fatalf("%s does not run: %s\n%s", name, out, m.troubles())
		}
	}
}

// troubles is what a person would look at.
func (m *machine) troubles() string {
	var all strings.Builder
	for _, args := range [][]string{
		{"get", "pods", "--all-namespaces", "--output", "wide"},
		{"get", "events", "--all-namespaces", "--field-selector", "type=Warning"},
		{"logs", "--namespace", "ebb-system", "--tail=40", "deployment/ebb-control-plane"},
		{"logs", "--namespace", "ebb-system", "--tail=40", "--selector", "app.kubernetes.io/name=ebb-gateway"},
		{"logs", "--namespace", "ebb-system", "--tail=40", "--selector", "app.kubernetes.io/name=ebb-node"},
		{"logs", "--tail=20", "--all-containers", "--selector", "serving.knative.dev/service=hello"},
	} {
		out, _ := m.tryKubectl(args...)
		fmt.Fprintf(&all, "$ kubectl %s\n%s\n", strings.Join(args, " "), out)
	}
	return all.String()
}
