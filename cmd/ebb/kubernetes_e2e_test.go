package main

import (
	"errors"
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
	clusterEvent = "dev.local/event-display:v1"
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
			m.kubectl("rollout", "status", "--namespace", "knative-eventing", "--timeout=120s", "statefulset/ebb-broker")
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
				m.eventually("the service sleeps", func() error {
					if pods := m.kubectl("get", "pods", "--selector", "serving.knative.dev/service=hello", "--output", "name"); pods != "" {
						return errors.New("there are " + pods)
					}
					return nil
				})
				if answer := ask(); !strings.Contains(answer, " 200 ") {
					t.Fatalf("wake %d: %s\n%s", round, answer, m.troubles())
				} else {
					t.Logf("wake %d: %s", round, answer)
				}
				m.eventually("its pod is ready", func() error {
					got := m.kubectl("get", "pods", "--selector", "serving.knative.dev/service=hello", "--no-headers")
					if want := fmt.Sprintf("%d/%[1]d", kustomization.containers); !strings.Contains(got, want) {
						return errors.New("no " + want + " in: " + got)
					}
					return nil
				})
			}
			if failed := m.kubectl("get", "events", "--field-selector", "reason=FailedPreStopHook", "--output", "name"); failed != "" {
				t.Errorf("pods ended without being drained: %s", failed)
			}
			m.eventsFlow()
			for where, of := range map[string]string{"ebb-system": "deployment/ebb-control-plane", "knative-eventing": "statefulset/ebb-broker"} {
				if logs := m.kubectl("logs", "--namespace", where, of); strings.Contains(logs, "forbidden") {
					t.Errorf("%s lacks a right:\n%s", of, logs)
				}
			}
		})
	}
}

const eventDisplay = `
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
---
apiVersion: v1
kind: Service
metadata: {name: event-display}
spec:
  selector: {app: event-display}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: event-display}
spec:
  selector: {matchLabels: {app: event-display}}
  template:
    metadata: {labels: {app: event-display}}
    spec: {containers: [{name: event-display, image: dev.local/event-display:v1}]}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: all}
spec:
  broker: default
  subscriber: {ref: {apiVersion: v1, kind: Service, name: event-display}}
`

// eventsFlow sends an event to a Broker by the name that pods know, and sees it arrive; then the broker's pod is replaced, and another does.
func (m *machine) eventsFlow() {
	m.t.Helper()
	m.applyText(eventDisplay)
	if out, err := m.tryKubectl("wait", "--for=condition=Ready", "--timeout=60s", "broker/default", "trigger/all"); err != nil {
		m.t.Fatalf("%s\n%s", out, m.troubles())
	}
	m.kubectl("rollout", "status", "--timeout=120s", "deployment/event-display")
	inside := strings.TrimSpace(m.kubectl("get", "--namespace", "ebb-system", "service/ebb-gateway-internal", "--output", "jsonpath={.spec.clusterIP}"))
	for _, id := range []string{"first", "second"} {
		answer := m.inside("curl", "--silent", "--show-error", "--max-time", "60", "--retry", "10", "--write-out", "%{http_code}", "--request", "POST",
			"--header", "Host: broker-ingress.knative-eventing.svc.cluster.local", "--header", "Ce-Specversion: 1.0", "--header", "Ce-Type: t",
			"--header", "Ce-Source: /here", "--header", "Ce-Id: "+id, "--header", "Content-Type: application/json", "--data", "{}",
			"http://"+inside+"/default/default")
		// A broker that is being replaced is answered for with 503, whose text comes before what the next try is answered.
		if !strings.HasSuffix(answer, "202") {
			m.t.Fatalf("event %s: %s\n%s", id, answer, m.troubles())
		}
		m.eventually("event "+id+" arrives", func() error {
			shown := m.kubectl("logs", "--selector", "app=event-display", "--tail=-1")
			if strings.Contains(shown, "id: "+id) {
				return nil
			}
			return errors.New("shown: " + shown)
		})
		if id == "first" {
			m.kubectl("delete", "pod", "--namespace", "knative-eventing", "ebb-broker-0")
			m.kubectl("rollout", "status", "--namespace", "knative-eventing", "--timeout=120s", "statefulset/ebb-broker")
		}
	}
}

// clusterKustomization names the image, as users do. The test's cluster has no volumes to claim.
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
	text := fmt.Sprintf("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [%s]\nimages: [{name: ebb, newName: dev.local/ebb, newTag: v1}]\n"+
		"patches:\n- target: {kind: StatefulSet, name: ebb-broker}\n  patch: |-\n    - {op: remove, path: /spec/volumeClaimTemplates}\n"+
		"    - {op: add, path: /spec/template/spec/volumes/-, value: {name: log, emptyDir: {}}}\n", base)
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// serveImages serves Ebb's own image and the test app where the platform's registry is expected.
func (m *machine) serveImages() {
	m.t.Helper()
	programs := binaries(m.t, "ebb", "ebb-sidecar", "envoy")
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
	display, err := image.ParseRef(clusterEvent)
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := store.Build(m.t.Context(), image.BuildOptions{Source: "../../test/images/event-display", Name: display}); err != nil {
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
	m.eventually("the manifest is taken", func() error {
		if out, err := m.tryKubectl("apply", "--filename", file); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
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
		{"get", "brokers,triggers,ingresses.networking.internal.knative.dev", "--all-namespaces", "--output", "yaml"},
		{"logs", "--namespace", "knative-eventing", "--tail=40", "statefulset/ebb-broker"},
		{"logs", "--namespace", "ebb-system", "--tail=40", "--selector", "app.kubernetes.io/name=ebb-gateway"},
		{"logs", "--namespace", "ebb-system", "--tail=40", "--selector", "app.kubernetes.io/name=ebb-node"},
		{"logs", "--tail=20", "--all-containers", "--selector", "serving.knative.dev/service=hello"},
	} {
		out, _ := m.tryKubectl(args...)
		fmt.Fprintf(&all, "$ kubectl %s\n%s\n", strings.Join(args, " "), out)
	}
	return all.String()
}
