package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// applyServing applies what is served yet of a manifest of the guide, and says what is left out.
func (s *space) applyServing(manifest string) {
	s.t.Helper()
	applied := 0
	for _, document := range strings.Split(manifest, "\n---\n") {
		if !strings.Contains(document, "apiVersion: ") {
			continue
		}
		out, err := s.tryApply(document)
		switch {
		case err == nil:
			applied++
		case strings.Contains(out, "no matches for kind"):
			s.t.Logf("not served yet, left out: %s", strings.TrimSpace(out))
		default:
			s.t.Fatalf("kubectl apply: %v\n%s\n%s", err, out, document)
		}
	}
	if applied == 0 {
		s.t.Fatal("nothing of the manifest was applied")
	}
}

func TestGuideHelloWorldAnswersAtItsURL(t *testing.T) {
	s := shared.inDefault(t)
	s.apply(guideFile(t, "01-hello-world.yaml"))
	s.ready("hello-world")
	if got, want := s.url("hello-world"), fmt.Sprintf("http://hello-world.default.localhost:%d", s.port); got != want {
		t.Errorf("status.url %s, want %s", got, want)
	}
	if got := s.path("ksvc/hello-world", "{.status.latestReadyRevisionName}"); got != "hello-world-v1" {
		t.Errorf("revision %q, want hello-world-v1", got)
	}
	// As the guide types it.
	if curl, err := exec.LookPath("curl"); err == nil {
		out, err := exec.Command(curl, "-sS", s.url("hello-world")).CombinedOutput()
		if err != nil || string(out) != "Hello Knative Serverless!\n" {
			t.Errorf("curl: %v %q", err, out)
		}
	}
	expect(t, s.url("hello-world"), "Hello Knative Serverless!")
	pods := s.replicas("hello-world")
	if len(pods) == 0 {
		t.Fatal("no pod has the label serving.knative.dev/service=hello-world")
	}
	limits := s.path("pod/"+pods[0], "{.spec.containers[0].resources.limits.cpu} {.spec.containers[0].resources.requests.memory}")
	if limits != "500m 64Mi" {
		t.Errorf("resources %q, want those of the manifest", limits)
	}
	pa := s.path("podautoscaler/hello-world-v1", "{.metadata.annotations}")
	if !strings.Contains(pa, `"50"`) || !strings.Contains(pa, `"5"`) {
		t.Errorf("the PodAutoscaler has lost target or maxScale: %s", pa)
	}
}

// patches are the guide's commands on ConfigMaps, and what takes them back.
var patches = []struct{ configMap, data string }{
	{"config-network", `{"ingress.class":"kourier.ingress.networking.knative.dev"}`},
	{"config-autoscaler", `{"min-scale":"1","max-scale":"10","scale-to-zero-grace-period":"30s","stable-window":"60s",` +
		`"enable-scale-to-zero":"true","target":"100","container-concurrency-target-default":"100"}`},
	{"config-autoscaler", `{"container-concurrency-target-percentage":"70","panic-window-percentage":"10.0","panic-threshold-percentage":"200.0"}`},
	{"config-autoscaler", `{"scale-to-zero-pod-retention-period":"30s"}`},
	{"config-network", `{"httpprotocol":"Enabled","autocreate-cluster-domain-claims":"true",` +
		`"domain-template":"{{.Name}}.{{.Namespace}}.{{.Domain}}","read-timeout":"10s","write-timeout":"10s"}`},
}

func TestGuidePatchesOfConfigMapsAreTakenAndDisturbNothing(t *testing.T) {
	s := shared.inDefault(t)
	s.apply(guideFile(t, "01-hello-world.yaml"))
	s.ready("hello-world")
	saved := map[string]string{}
	for _, name := range []string{"config-network", "config-autoscaler"} {
		saved[name], _ = s.kubectl("get", "configmap", name, "-n", "knative-serving", "-o", "json")
	}
	t.Cleanup(func() {
		for name, object := range saved {
			command := s.kubectlCommand(context.Background(), "replace", "--force", "--cascade=orphan", "-f", "-")
			command.Stdin = strings.NewReader(object)
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("restore %s: %v\n%s", name, err, out)
			}
		}
	})
	load := startLoad(t, s.url("hello-world"), 20)
	for _, patch := range patches {
		out, err := s.kubectl("patch", "configmap/"+patch.configMap, "-n", "knative-serving", "--type", "merge", "--patch", `{"data":`+patch.data+`}`)
		if err != nil || !strings.Contains(out, "patched") {
			t.Errorf("%s %s: %v\n%s", patch.configMap, patch.data, err, out)
		}
		for _, unknown := range []string{"httpprotocol", "read-timeout"} {
			if strings.Contains(patch.data, unknown) && !strings.Contains(out, unknown) {
				t.Errorf("no warning about %s: %s", unknown, out)
			}
		}
		load.answered(t, 10)
	}
	if c := load.stop(); c.failures() > 0 {
		t.Error(c)
	}
	// min-scale is 1 now: a new service of the guide's next step is served all the same.
	s.apply(guideFile(t, "07-order-service.yaml"))
	s.ready("order-service")
	expect(t, s.url("order-service"), "Hello Order Service!")
}

func TestGuideCanarySplitsEightyTwenty(t *testing.T) {
	s := shared.inDefault(t)
	canary := guideFile(t, "02-hello-canary.yaml")
	s.apply(strings.ReplaceAll(guideFile(t, "01-hello-world.yaml"), "hello-world", "hello-canary"))
	s.ready("hello-canary")
	s.apply(canary)
	s.must("wait", "ksvc/hello-canary", "--for=jsonpath={.status.latestReadyRevisionName}=hello-canary-v2", "--timeout=60s")
	s.ready("hello-canary")
	got := many(t.Context(), kept, s.url("hello-canary"), 1000, 10)
	t.Log(got)
	// Five standard deviations of 1,000 draws at 80 % are 63.
	first := got.bodies["Hello Knative Serverless!"]
	second := got.bodies["Hello Knative Serverless v2!"]
	if first+second != 1000 || first < 737 || first > 863 {
		t.Errorf("%d and %d of 1000, want 800 and 200", first, second)
	}
	status := s.path("ksvc/hello-canary", "{range .status.traffic[*]}{.revisionName}={.percent} {end}")
	if status != "hello-canary-v1=80 hello-canary-v2=20" {
		t.Errorf("status.traffic %q", status)
	}
}

func TestGuideCanaryBeforeItsFirstRevisionSaysWhatIsMissingAndRecovers(t *testing.T) {
	s := shared.inDefault(t)
	canary := guideFile(t, "02-hello-canary.yaml")
	s.apply(canary)
	eventually(t, 30*time.Second, "the missing revision is reported", func() error {
		reason := s.path("ksvc/hello-canary", `{.status.conditions[?(@.type=="Ready")].reason}`)
		if message := s.message("hello-canary", "Ready"); reason != "RevisionMissing" || !strings.Contains(message, "hello-canary-v1") {
			return fmt.Errorf("%s: %s", reason, message)
		}
		return nil
	})
	s.apply(strings.ReplaceAll(guideFile(t, "01-hello-world.yaml"), "hello-world", "hello-canary"))
	s.must("wait", "revision/hello-canary-v1", "--for=condition=Ready", "--timeout=60s")
	s.apply(canary)
	s.ready("hello-canary")
	becomes(t, s.url("hello-canary"), http.StatusOK, "Hello Knative Serverless")
}

func TestGuideMicroservicesAnswer(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	want := map[string]string{"order-service": "Order Service", "payment-processor": "Payment Processor", "inventory-service": "Inventory Service"}
	for _, file := range []string{"07-order-service.yaml", "08-payment-processor.yaml", "09-inventory-service.yaml"} {
		s.apply(guideFile(t, file))
	}
	for name, target := range want {
		s.ready(name)
		if got := s.path("ksvc/"+name, "{.status.latestReadyRevisionName}"); got != name+"-00001" {
			t.Errorf("revision %q", got)
		}
		expect(t, s.url(name), "Hello "+target+"!")
	}
	// 14 has an inventory-service too: it is re-pointed. The others are new.
	s.applyServing(guideFile(t, "14-e-commerce-services.yaml"))
	for name, target := range map[string]string{
		"order-api": "Order API", "payment-service": "Payment Service", "inventory-service": "Inventory Service",
		"shipping-service": "Shipping Service", "notification-service": "Notification Service",
	} {
		s.ready(name)
		expect(t, s.url(name), "Hello "+target+"!")
	}
	expect(t, s.url("order-service"), "Hello Order Service!")
}

func TestGuideProductionServiceKeepsOneReplicaAndItsProbesAndTimeout(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.apply(guideFile(t, "11-production-service.yaml"))
	s.ready("production-service")
	expect(t, s.url("production-service"), "Hello Production Service!")
	revision := s.path("ksvc/production-service", "{.status.latestReadyRevisionName}")
	if got := s.path("revision/"+revision, "{.spec.timeoutSeconds}"); got != "300" {
		t.Errorf("timeoutSeconds %q", got)
	}
	pod := s.replicas("production-service")[0]
	probe := s.path("pod/"+pod, "{.spec.containers[0].livenessProbe.httpGet.path} {.spec.containers[0].livenessProbe.initialDelaySeconds}")
	if probe != "/health 15" {
		t.Errorf("liveness probe %q", probe)
	}
	// The readiness probe's first look is after 5 s: nobody called it ready before.
	started := s.time("pod/"+pod, "{.status.containerStatuses[0].state.running.startedAt}")
	ready := s.time("ksvc/production-service", `{.status.conditions[?(@.type=="Ready")].lastTransitionTime}`)
	if ready.Sub(started) < 4*time.Second {
		t.Errorf("ready %s after the start, before the probe's initial delay of 5 s", ready.Sub(started))
	}
	if got := s.path("podautoscaler/"+revision, "{.status.desiredScale}"); got != "1" {
		t.Errorf("desiredScale %q, want minScale 1", got)
	}
}

func (s *space) time(object, expression string) time.Time {
	s.t.Helper()
	out, err := time.Parse(time.RFC3339, s.path(object, expression))
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func TestGuideDataProcessorAnswers(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.applyServing(guideFile(t, "16-data-processor.yaml"))
	s.ready("data-processor")
	expect(t, s.url("data-processor"), "Hello Data Processor!")
}

func TestGuideSecureServiceIsReadyOnceItsImageIsThereAndGetsItsSecret(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.apply(guideFile(t, "24-db-credentials.yaml"))
	eventually(t, 30*time.Second, "the missing image is named", func() error {
		if message := s.message("secure-service", "ConfigurationsReady"); !strings.Contains(message, "my-secure-app") {
			return fmt.Errorf("message %q", message)
		}
		return nil
	})
	build := exec.Command(filepath.Join(s.bin, "ebb"), "image", "build", "./testdata/secure", "--name", "my-secure-app", "--store", filepath.Join(s.state, "images"))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("ebb image build: %v\n%s", err, out)
	}
	s.ready("secure-service")
	expect(t, s.url("secure-service"), "username:password")
}

// TestExamplesOfTheDocsAnswer applies docs/examples in the order in which they are to be read: canary.yaml is a second revision beside
// hello-world.yaml's.
func TestExamplesOfTheDocsAnswer(t *testing.T) {
	folder := filepath.Join(shared.repo, "docs", "examples")
	if _, err := os.Stat(filepath.Join(folder, "canary.yaml")); err != nil {
		t.Skipf("the examples are not here: %v", err)
	}
	s := shared.inDefault(t)
	s.must("apply", "-f", filepath.Join(folder, "hello-world.yaml"))
	s.ready("hello-world")
	expect(t, s.url("hello-world"), "Hello from v1!")
	s.must("apply", "-f", filepath.Join(folder, "canary.yaml"))
	s.must("wait", "ksvc/hello-world", "--for=jsonpath={.status.latestReadyRevisionName}=hello-world-v2", "--timeout=60s")
	s.ready("hello-world")
	got := many(t.Context(), kept, s.url("hello-world"), 200, 5)
	if first := got.bodies["Hello from v1!"]; first < 131 || first > 189 || got.failures() > 0 {
		t.Errorf("want 160 of 200 from v1: %v", got)
	}
}
