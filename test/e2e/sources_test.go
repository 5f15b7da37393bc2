package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// says waits until event-display has printed all of some texts.
func (s *space) says(within time.Duration, texts ...string) {
	s.t.Helper()
	eventually(s.t, within, "event-display to print "+strings.Join(texts, ", "), func() error {
		out, err := s.try("logs", "-l", "app=event-display", "-c", "event-display", "--tail=-1")
		if err != nil {
			return err
		}
		for _, text := range texts {
			if !strings.Contains(out, text) {
				return fmt.Errorf("no %q in:\n%s", text, out)
			}
		}
		return nil
	})
}

// deletes takes objects away with the test, before what other tests share.
func (s *space) deletes(what ...string) {
	s.t.Cleanup(func() { s.try(append([]string{"delete", "--ignore-not-found", "--timeout=30s"}, what...)...) })
}

// feature turns one of eventing on for the test.
func (s *space) feature(name string) {
	s.t.Helper()
	set := func(value string) {
		patch := fmt.Sprintf(`{"data":{%q:%q}}`, name, value)
		if out, err := s.kubectl("patch", "configmap/config-features", "-n", "knative-eventing", "--type=merge", "--patch", patch); err != nil {
			s.t.Errorf("%s: %v\n%s", patch, err, out)
		}
	}
	set("enabled")
	s.t.Cleanup(func() { set("disabled") })
}

const toDisplay = `sink: {ref: {apiVersion: v1, kind: Service, name: event-display}}`

// What happens to objects is told, once the ServiceAccount may see it; until then the status says how to allow it.
func TestChangesOfObjectsBecomeEvents(t *testing.T) {
	s := shared.inDefault(t)
	s.display()
	s.deletes("apiserversource/carts", "configmap/cart", "rolebinding/watcher", "role/watcher", "serviceaccount/watcher")
	s.must("create", "serviceaccount", "watcher")
	s.apply(`apiVersion: sources.knative.dev/v1
kind: ApiServerSource
metadata: {name: carts}
spec:
  serviceAccountName: watcher
  mode: Resource
  resources: [{apiVersion: v1, kind: ConfigMap, selector: {matchLabels: {app: cart}}}]
  ceOverrides: {extensions: {stage: test}}
  ` + toDisplay)
	eventually(t, 20*time.Second, "the missing permission", func() error {
		message := s.path("apiserversource/carts", `{.status.conditions[?(@.type=="SufficientPermissions")].message}`)
		if !strings.Contains(message, "system:serviceaccount:default:watcher cannot get, list, watch resource \"configmaps\"") {
			return fmt.Errorf("%q", message)
		}
		return nil
	})
	s.must("create", "role", "watcher", "--verb=get,list,watch", "--resource=configmaps")
	s.must("create", "rolebinding", "watcher", "--role=watcher", "--serviceaccount=default:watcher")
	s.must("wait", "apiserversource/carts", "--for=condition=Ready", "--timeout=30s")
	s.must("create", "configmap", "cart", "--from-literal=a=unseen") // it has no label yet
	s.must("label", "configmap", "cart", "app=cart")
	s.must("patch", "configmap", "cart", "--type=merge", "--patch", `{"data":{"a":"seen"}}`)
	s.must("delete", "configmap", "cart")
	s.says(20*time.Second, "type: dev.knative.apiserver.resource.add", "type: dev.knative.apiserver.resource.update",
		"type: dev.knative.apiserver.resource.delete", "subject: /apis/v1/namespaces/default/configmaps/cart", "kind: ConfigMap", "stage: test", `"a": "seen"`)
	if out := s.must("get", "apiserversource", "carts"); !strings.Contains(out, "http://event-display.default.svc.cluster.local") || !strings.Contains(out, "True") {
		t.Errorf("kubectl get:\n%s", out)
	}
}

// A ContainerSource's pods, a bound Deployment and a bound Job all know where to send to; a Deployment that is not bound any more does not.
func TestWorkloadsAreToldWhereToSendTo(t *testing.T) {
	s := shared.inDefault(t)
	s.display()
	s.deletes("containersource/beats", "sinkbinding/pulse", "sinkbinding/jobs", "deployment/pulse", "job/pulse")
	const image = "gcr.io/knative-releases/knative.dev/eventing/cmd/heartbeats:latest"
	s.apply(`apiVersion: sources.knative.dev/v1
kind: ContainerSource
metadata: {name: beats}
spec:
  template:
    spec:
      containers: [{name: beats, image: "` + image + `", args: [--period=1, --label=contained]}]
  ceOverrides: {extensions: {stage: test}}
  ` + toDisplay + `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: pulse}
spec:
  selector: {matchLabels: {app: pulse}}
  template:
    metadata: {labels: {app: pulse}}
    spec:
      containers: [{name: pulse, image: "` + image + `", args: [--period=1, --label=bound]}]
---
apiVersion: sources.knative.dev/v1
kind: SinkBinding
metadata: {name: pulse}
spec:
  subject: {apiVersion: apps/v1, kind: Deployment, name: pulse}
  ` + toDisplay + `
---
apiVersion: sources.knative.dev/v1
kind: SinkBinding
metadata: {name: jobs}
spec:
  subject: {apiVersion: batch/v1, kind: Job, selector: {matchLabels: {app: pulse}}}
  ` + toDisplay)
	s.must("wait", "sinkbinding/jobs", "sinkbinding/pulse", "--for=condition=Ready", "--timeout=30s")
	s.apply(`apiVersion: batch/v1
kind: Job
metadata: {name: pulse, labels: {app: pulse}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: pulse, image: "` + image + `", args: [--once, --label=once]}]
`)
	s.must("wait", "containersource/beats", "--for=condition=Ready", "--timeout=60s")
	s.must("wait", "job/pulse", "--for=condition=Complete", "--timeout=60s")
	s.says(60*time.Second, `"label": "contained"`, `"label": "bound"`, `"label": "once"`, "stage: test")
	if restarts := s.must("get", "pods", "-l", "sources.knative.dev/containerSource=beats", "-o", "jsonpath={.items[*].status.containerStatuses[0].restartCount}"); restarts != "0" {
		t.Errorf("pods of the ContainerSource were not told at first: restarts %q", restarts)
	}
	s.must("delete", "sinkbinding", "pulse")
	if env := s.path("deployment/pulse", "{.spec.template.spec.containers[0].env}"); env != "" {
		t.Errorf("what is left of a SinkBinding: %s", env)
	}
}

// An event for a JobSink is a Job that finds it as a file.
func TestAnEventForAJobSinkIsAJob(t *testing.T) {
	s := shared.inDefault(t)
	s.display()
	s.deletes("jobsink/mill", "trigger/mill")
	s.apply(`apiVersion: sinks.knative.dev/v1alpha1
kind: JobSink
metadata: {name: mill}
spec:
  job:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: mill, image: "ebb.dev/eventfile:latest"}]
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: mill}
spec:
  broker: default
  filter: {attributes: {type: grain}}
  subscriber: {ref: {apiVersion: sinks.knative.dev/v1alpha1, kind: JobSink, name: mill}}
`)
	s.must("wait", "jobsink/mill", "trigger/mill", "--for=condition=Ready", "--timeout=60s")
	for _, id := range []string{"g-1", "g-2"} {
		if code := event(t.Context(), kept, shared.brokerURL("default", "default"), "grain", id, `{"sort":"rye"}`); code != http.StatusAccepted {
			t.Fatal(code)
		}
	}
	selector := s.path("jobsink/mill", "{.status.job.selector}")
	eventually(t, 60*time.Second, "two Jobs that are complete", func() error {
		out := s.must("get", "jobs", "-l", selector, "-o", `jsonpath={.items[*].status.succeeded}`)
		if out != "1 1" {
			return fmt.Errorf("%q", out)
		}
		return nil
	})
	logs := s.must("logs", "-l", "batch.kubernetes.io/job-name", "--tail=-1", "--prefix=false")
	for _, want := range []string{"mode batch: ", `"id":"g-1"`, `"id":"g-2"`, `"sort":"rye"`, `"type":"grain"`} {
		if !strings.Contains(logs, want) {
			t.Errorf("no %s in:\n%s", want, logs)
		}
	}
}

// With the feature on, what flows through a Broker and what a source says it sends is listed, once each.
func TestEventsThatAreSeenAreListed(t *testing.T) {
	s := shared.namespace(t)
	s.feature("eventtype-auto-create")
	s.apply(`apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: b}
---
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: p}
spec: {schedule: "0 0 1 1 *", data: x, sink: {ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: b}}}
---
apiVersion: eventing.knative.dev/v1beta3
kind: EventType
metadata: {name: lost}
spec:
  reference: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: nobody}
  attributes: [{name: type, required: true, value: x}, {name: source, required: true, value: /x}, {name: specversion, required: true}, {name: id, required: true}]
`)
	s.must("wait", "broker/b", "pingsource/p", "--for=condition=Ready", "--timeout=60s")
	eventually(t, 30*time.Second, "EventTypes of what was sent and of the source", func() error {
		for i := range 3 {
			id := fmt.Sprintf("%d-%d", time.Now().UnixNano(), i)
			if code := event(t.Context(), kept, s.brokerURL(s.name, "b"), "listed", id, "{}"); code != http.StatusAccepted {
				return fmt.Errorf("event: %d", code)
			}
		}
		out := s.must("get", "eventtypes", "-o", `go-template={{range .items}}{{.spec.type}} {{.spec.reference.name}} {{range .status.conditions}}{{if eq .type "Ready"}}{{.status}}{{end}}{{end}}{{"\n"}}{{end}}`)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		slices.Sort(lines)
		if want := []string{"dev.knative.sources.ping b True", "listed b True", "x nobody False"}; !slices.Equal(lines, want) {
			return fmt.Errorf("%q", lines)
		}
		return nil
	})
}

// With authentication on, a Broker takes events from those that its policies name, and from the platform that delivers for its sources.
func TestOnlyThoseSendWhomAPolicyNames(t *testing.T) {
	s := shared.namespace(t)
	s.feature("authentication-oidc")
	for _, account := range []string{"till", "stranger"} {
		s.must("create", "serviceaccount", account)
	}
	s.must("create", "rolebinding", "view", "--clusterrole=view", "--serviceaccount="+s.name+":default")
	s.apply(`apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: b}
---
apiVersion: eventing.knative.dev/v1alpha1
kind: EventPolicy
metadata: {name: orders}
spec:
  to: [{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: b}}]
  from: [{sub: "system:serviceaccount:` + s.name + `:till"}]
  filters: [{prefix: {type: order.}}]
---
apiVersion: messaging.knative.dev/v1
kind: InMemoryChannel
metadata: {name: letters}
---
apiVersion: sources.knative.dev/v1
kind: ApiServerSource
metadata: {name: changes}
spec:
  resources: [{apiVersion: v1, kind: ConfigMap, selector: {matchLabels: {app: cart}}}]
  sink: {ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: b}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: event-display}
spec:
  selector: {matchLabels: {app: event-display}}
  template:
    metadata: {labels: {app: event-display}}
    spec: {containers: [{name: event-display, image: gcr.io/knative-releases/knative.dev/eventing/cmd/event_display}]}
---
apiVersion: v1
kind: Service
metadata: {name: event-display}
spec: {selector: {app: event-display}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: all}
spec: {broker: b, subscriber: {ref: {apiVersion: v1, kind: Service, name: event-display}}}
`)
	s.must("wait", "broker/b", "eventpolicy/orders", "inmemorychannel/letters", "apiserversource/changes", "trigger/all", "--for=condition=Ready", "--timeout=60s")
	s.must("rollout", "status", "deployment/event-display", "--timeout=60s")
	if got := s.path("broker/b", "{.status.policies[*].name}"); got != "orders" {
		t.Errorf("policies of the Broker: %q", got)
	}
	audience := s.path("broker/b", "{.status.address.audience}")
	token := func(account string) string { return s.must("create", "token", account, "--audience="+audience) }
	for i, tt := range []struct {
		name, token, kind string
		want              int
	}{
		{"nobody", "", "order.made", http.StatusUnauthorized},
		{"somebody for somebody else", s.must("create", "token", "till"), "order.made", http.StatusUnauthorized},
		{"a stranger", token("stranger"), "order.made", http.StatusForbidden},
		{"the till, something else", token("till"), "letter", http.StatusForbidden},
		{"the till", token("till"), "order.made", http.StatusAccepted},
	} {
		client := &http.Client{Timeout: time.Minute, Transport: bearer(tt.token)}
		if code := event(t.Context(), client, s.brokerURL(s.name, "b"), tt.kind, fmt.Sprintf("p-%d", i), "{}"); code != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, code, tt.want)
		}
	}
	// A source sends as itself, and has to be named like anybody.
	cart := func(name string) {
		s.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", labels: {app: cart}}\n")
	}
	cart("refused")
	shared.logged(t, 20*time.Second, "broker", "event given up", s.name+"/changes")
	s.apply(`apiVersion: eventing.knative.dev/v1alpha1
kind: EventPolicy
metadata: {name: changes}
spec:
  to: [{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: b}}]
  from: [{ref: {apiVersion: sources.knative.dev/v1, kind: ApiServerSource, name: changes, namespace: ` + s.name + `}}]
`)
	s.must("wait", "eventpolicy/changes", "--for=condition=Ready", "--timeout=30s")
	cart("named")
	s.says(30*time.Second, "type: order.made", "type: dev.knative.apiserver.ref.add", `configmaps/named`)
	if out, _ := s.try("logs", "-l", "app=event-display", "--tail=-1"); strings.Contains(out, "configmaps/refused") {
		t.Errorf("the Broker took an event of a source that no policy named:\n%s", out)
	}
}

// bearer sends a token along.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+string(b))
	}
	return fresh.Transport.RoundTrip(r)
}
