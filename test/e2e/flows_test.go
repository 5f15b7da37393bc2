package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// printer runs event-display in the namespace, with the Broker b before it.
func (s *space) printer() {
	s.t.Helper()
	s.apply(guideFile(s.t, "04-event-display.yaml"))
	s.apply("apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b}\n")
	s.must("wait", "broker/b", "--for=condition=Ready", "--timeout=60s")
	s.must("rollout", "status", "deployment/event-display", "--timeout=60s")
}

// leads applies a Trigger of everything in the Broker b to an object.
func (s *space) leads(apiVersion, kind, name string) {
	s.t.Helper()
	s.apply(fmt.Sprintf(`apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: in}
spec: {broker: b, subscriber: {ref: {apiVersion: %q, kind: %s, name: %s}}}
`, apiVersion, kind, name))
	s.must("wait", "trigger/in", "--for=condition=Ready", "--timeout=60s")
}

// puts sends an event with text as data to the Broker b.
func (s *space) puts(kind, id, text string) {
	s.t.Helper()
	if code := event(s.t.Context(), kept, s.brokerURL(s.name, "b"), kind, id, text); code != http.StatusAccepted {
		s.t.Fatalf("event %s: %d", id, code)
	}
}

// keeps waits until a channel of the namespace has stored an event.
func (s *space) keeps(channel, id string) {
	s.t.Helper()
	eventually(s.t, 20*time.Second, fmt.Sprintf("event %s to be in Channel %s", id, channel), func() error {
		out, err := s.events("trace", id, "-o", "json")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		var trace struct {
			Stored []struct{ Kind, Name string }
		}
		if err := json.Unmarshal([]byte(out), &trace); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		for _, place := range trace.Stored {
			if place.Kind == "Channel" && place.Name == channel {
				return nil
			}
		}
		return fmt.Errorf("it is in %v", trace.Stored)
	})
}

// printed waits until event-display has printed events with these ids, in any order, and no other.
func (s *space) printed(want ...string) {
	s.t.Helper()
	slices.Sort(want)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			for _, id := range want {
				out, _ := s.events("trace", id)
				s.t.Logf("%s:\n%s", id, out)
			}
		}
	})
	eventually(s.t, 20*time.Second, "event-display to print "+strings.Join(want, ", "), func() error {
		got := s.shown()
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("it has %v", got)
		}
		return nil
	})
}

const displayRef = `{ref: {apiVersion: v1, kind: Service, name: event-display}}`

// answers is a step that answers an event with what /event of the test app makes of it.
func answers(query string) string {
	return `{ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: step}, uri: "/event?` + query + `"}`
}

func TestAPingSourceSendsWhenItsSecondsSay(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.printer()
	s.apply(`apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: ping}
spec:
  schedule: "* * * * * *"
  timezone: Europe/Berlin
  contentType: application/json
  data: '{"beat": "here"}'
  ceOverrides: {extensions: {stage: test}}
  sink: ` + displayRef)
	s.must("wait", "pingsource/ping", "--for=condition=Ready", "--timeout=30s")
	if got := s.path("pingsource/ping", "{.status.sinkUri} {.status.ceAttributes[0].type}"); got != "http://event-display."+s.name+".svc.cluster.local dev.knative.sources.ping" {
		t.Errorf("status %q", got)
	}
	s.says(20*time.Second, "type: dev.knative.sources.ping", "source: /apis/v1/namespaces/"+s.name+"/pingsources/ping", `"beat": "here"`, "stage: test")
	eventually(t, 15*time.Second, "three beats, each once", func() error {
		got := s.shown()
		slices.Sort(got)
		if once := slices.Compact(slices.Clone(got)); len(once) < 3 || len(once) != len(got) {
			return fmt.Errorf("ids %v", got)
		}
		return nil
	})
	s.must("delete", "pingsource", "ping")
	before := len(s.shown())
	// One may have been under way; that the schedule is silent shows by the time of three more.
	time.Sleep(3 * time.Second)
	if after := len(s.shown()); after > before+1 {
		t.Errorf("the PingSource is deleted, and %d events came after", after-before)
	}
}

func TestASequenceTakesItsStepsInOrder(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.printer()
	s.serve(app{name: "step"})
	s.apply(`apiVersion: flows.knative.dev/v1
kind: Sequence
metadata: {name: line}
spec:
  steps:
  - ` + answers("append=+one") + `
  - ` + answers("append=+two") + `
  - ` + answers("append=+three&type=done") + `
  reply: ` + displayRef)
	s.must("wait", "sequence/line", "--for=condition=Ready", "--timeout=60s")
	s.leads("flows.knative.dev/v1", "Sequence", "line")
	want := []string{"a", "b", "c"}
	for _, id := range want {
		s.puts("begun", id, "zero")
	}
	s.printed(want...)
	s.says(time.Second, "zero one two three", "type: done")
	if out, _ := s.try("logs", "-l", "app=event-display", "--tail=-1"); strings.Contains(out, "type: begun") {
		t.Errorf("an event went past the steps:\n%s", out)
	}
	if got := s.path("sequence/line", "{.status.address.url}"); got != "http://line-kn-sequence-0-kn-channel."+s.name+".svc.cluster.local" {
		t.Errorf("address %s", got)
	}
}

func TestAParallelSendsEachEventDownTheBranchesThatLetItPass(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.printer()
	s.serve(app{name: "step"})
	s.apply(`apiVersion: flows.knative.dev/v1
kind: Parallel
metadata: {name: fork}
spec:
  branches:
  - filter: ` + answers("only=red") + `
    subscriber: ` + answers("append=+on+the+left&type=left") + `
    reply: ` + displayRef + `
  - filter: ` + answers("only=blue") + `
    subscriber: ` + answers("append=+on+the+right&type=right") + `
  reply: ` + displayRef)
	s.must("wait", "parallel/fork", "--for=condition=Ready", "--timeout=60s")
	s.leads("flows.knative.dev/v1", "Parallel", "fork")
	for _, kind := range []string{"red", "green", "blue"} {
		s.puts(kind, kind, kind)
	}
	s.printed("red", "blue")
	s.says(time.Second, "red on the left", "type: left", "blue on the right", "type: right")
}

// A NatsJetStreamChannel is a channel like the others: what is sent to it is kept for who subscribes later, a limit of its spec is kept, a Channel
// may be one, by its template or by default, and what is not served is said.
func TestNatsJetStreamChannelsKeepWhatTheySay(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.printer()
	s.channelsByDefault("NatsJetStreamChannel", "{apiVersion: messaging.knative.dev/v1alpha1, kind: NatsJetStreamChannel, spec: {stream: {config: {maxMsgSize: 100}}}}")
	s.apply(`apiVersion: messaging.knative.dev/v1
kind: Channel
metadata: {name: letters}
---
apiVersion: messaging.knative.dev/v1alpha1
kind: NatsJetStreamChannel
metadata: {name: copies}
spec: {stream: {config: {replicas: 3}}}
`)
	s.must("wait", "channel/letters", "--for=condition=Ready", "--timeout=60s")
	out := s.must("get", "natsjetstreamchannel", "letters")
	if !strings.Contains(out, "http://letters-kn-jsm-channel."+s.name+".svc.cluster.local") || !strings.Contains(out, "True") {
		t.Errorf("kubectl get:\n%s", out)
	}
	eventually(t, 10*time.Second, "what is not served to be said", func() error {
		if got := s.path("natsjetstreamchannel/copies", `{.status.conditions[?(@.type=="JetStreamReady")].message}`); !strings.Contains(got, "spec.stream.config.replicas: 3 copies are not made") {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	s.leads("messaging.knative.dev/v1", "Channel", "letters")
	s.puts("letter", "early", "a")
	// It is too large for the channel: the Trigger gives it up, and nobody gets it.
	s.puts("letter", "large", strings.Repeat("a", 101))
	s.keeps("letters", "early")
	s.apply(`apiVersion: messaging.knative.dev/v1
kind: Subscription
metadata: {name: letters}
spec:
  channel: {apiVersion: messaging.knative.dev/v1, kind: Channel, name: letters}
  subscriber: ` + displayRef)
	s.must("wait", "subscription/letters", "--for=condition=Ready", "--timeout=30s")
	s.puts("letter", "late", "b")
	s.printed("early", "late")
	s.must("delete", "channel/letters", "--timeout=30s")
	eventually(t, 20*time.Second, "nothing to be left of it", func() error {
		if out, err := s.try("get", "natsjetstreamchannel/letters", "service/letters-kn-jsm-channel", "king/letters-kn-jsm-channel", "--ignore-not-found", "-o", "name"); err != nil || out != "" {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	})
}

// channelsByDefault says what Channels without a template are in this namespace, until the test ends.
func (s *space) channelsByDefault(kind, template string) {
	s.t.Helper()
	set := func(value string) error {
		patch := fmt.Sprintf(`{"data":{"default-ch-config":%q}}`, value)
		if out, err := s.kubectl("patch", "configmap/default-ch-webhook", "-n", "knative-eventing", "--type=merge", "--patch", patch); err != nil {
			return fmt.Errorf("%s: %w\n%s", patch, err, out)
		}
		return nil
	}
	before, err := s.kubectl("get", "configmap", "default-ch-webhook", "-n", "knative-eventing", "-o", "jsonpath={.data.default-ch-config}")
	if err != nil {
		s.t.Fatal(before)
	}
	if before == "" {
		before = "clusterDefault: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel}\n"
	}
	s.t.Cleanup(func() {
		if err := set(before); err != nil {
			s.t.Error(err)
		}
	})
	if err := set(fmt.Sprintf("clusterDefault: {apiVersion: messaging.knative.dev/v1, kind: InMemoryChannel}\nnamespaceDefaults:\n  %s: %s\n", s.name, template)); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, 10*time.Second, "admission to know of it", func() error {
		command := s.kubectlCommand(s.t.Context(), "-n", s.name, "create", "--dry-run=server", "-f", "-", "-o", "jsonpath={.spec.channelTemplate.kind}")
		command.Stdin = strings.NewReader("apiVersion: messaging.knative.dev/v1\nkind: Channel\nmetadata: {name: probe}\n")
		if out, err := command.CombinedOutput(); err != nil || string(out) != kind {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	})
}
