package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// brokerURL is where clients outside the cluster send events to a Broker.
func (p *platform) brokerURL(namespace, name string) string {
	return fmt.Sprintf("http://broker-ingress.knative-eventing.localhost:%d/%s/%s", p.port, namespace, name)
}

// event sends one in binary mode and returns the status, 0 without an answer.
func event(ctx context.Context, client *http.Client, url, kind, id, data string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewBufferString(data))
	if err != nil {
		return 0
	}
	for key, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Type": kind, "Ce-Source": "/e2e", "Ce-Id": id, "Content-Type": "application/json"} {
		request.Header.Set(key, value)
	}
	got, err := do(client, request)
	if err != nil {
		return 0
	}
	return got.code
}

// shown are the ids of events that event-display has printed, in order, as `kubectl logs` shows them.
func (s *space) shown() []string {
	out, err := s.try("logs", "-l", "app=event-display", "-c", "event-display", "--tail=-1")
	if err != nil {
		return nil
	}
	var ids []string
	for line := range strings.Lines(out) {
		if id, found := strings.CutPrefix(strings.TrimSpace(line), "id: "); found {
			ids = append(ids, id)
		}
	}
	return ids
}

// display applies the guide's Broker, event-display and Trigger, and waits until they are ready.
func (s *space) display() {
	s.t.Helper()
	for _, name := range []string{"03-default-broker.yaml", "04-event-display.yaml", "05-trigger.yaml"} {
		s.apply(guideFile(s.t, name))
	}
	s.must("wait", "broker/default", "trigger/event-display-trigger", "--for=condition=Ready", "--timeout=60s")
	s.must("rollout", "status", "deployment/event-display", "--timeout=60s")
	s.t.Cleanup(func() {
		s.try("delete", "trigger,broker,deployment,cronjobsources.sources.knative.dev", "--all", "--timeout=30s")
		s.try("delete", "service/event-display")
	})
}

func TestGuideEventsArriveInOrderOnceEach(t *testing.T) {
	s := shared.inDefault(t)
	s.display()
	url := shared.brokerURL("default", "default")
	var want []string
	for i := range 50 {
		id := fmt.Sprintf("a-%02d", i)
		if code := event(t.Context(), kept, url, "dev.knative.samples.helloworld", id, `{"msg":"hello"}`); code != http.StatusAccepted {
			t.Fatalf("event %s: %d", id, code)
		}
		want = append(want, id)
		if code := event(t.Context(), kept, url, "dev.knative.samples.other", "other-"+id, `{}`); code != http.StatusAccepted {
			t.Fatalf("event other-%s: %d", id, code)
		}
	}
	eventually(t, 20*time.Second, "all events that match, and no other", func() error {
		if got := s.shown(); !slices.Equal(got, want) {
			return fmt.Errorf("shown: %v", got)
		}
		return nil
	})
	if code := event(t.Context(), kept, shared.brokerURL("default", "nobody"), "x", "1", "{}"); code != http.StatusNotFound {
		t.Errorf("a broker that does not exist: %d", code)
	}
	if code := event(t.Context(), kept, url, "", "1", "{}"); code != http.StatusBadRequest {
		t.Errorf("an event without a type: %d", code)
	}
}

func TestGuideOrdersWakeTheirServices(t *testing.T) {
	s := shared.inDefault(t)
	s.display()
	for _, name := range []string{"08-payment-processor.yaml", "09-inventory-service.yaml", "10-triggers.yaml"} {
		s.apply(guideFile(t, name))
	}
	s.ready("payment-processor", "inventory-service")
	t.Cleanup(func() { s.try("delete", "ksvc", "payment-processor", "inventory-service") })
	s.must("wait", "trigger/payment-trigger", "trigger/inventory-trigger", "--for=condition=Ready", "--timeout=60s")
	if code := event(t.Context(), kept, shared.brokerURL("default", "default"), "order.created", "order-1", `{"order":1}`); code != http.StatusAccepted {
		t.Fatal(code)
	}
	for _, service := range []string{"payment-processor", "inventory-service"} {
		eventually(t, 60*time.Second, service+" to be woken by the event", func() error {
			if len(s.replicas(service)) == 0 {
				return fmt.Errorf("no replica")
			}
			return nil
		})
	}
}

func TestGuideCronJobSourceSendsEveryMinute(t *testing.T) {
	s := shared.inDefault(t)
	s.display()
	s.apply(`apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: all}
spec:
  broker: default
  filter: {attributes: {type: dev.knative.cronjob.event}}
  subscriber: {ref: {apiVersion: v1, kind: Service, name: event-display}}
`)
	s.apply(guideFile(t, "06-cronjob-source.yaml"))
	eventually(t, 90*time.Second, "the event of a minute", func() error {
		out, err := s.try("logs", "-l", "app=event-display", "-c", "event-display", "--tail=-1")
		if err != nil || !strings.Contains(out, "Hello from Knative!") || !strings.Contains(out, "/cronjobsources/heartbeat-cron") {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	})
}

func TestEventsFlowThroughChannelsAndSequences(t *testing.T) {
	s := shared.inDefault(t)
	s.display()
	t.Cleanup(func() { s.try("delete", "subscription,sequence,channel,inmemorychannel", "--all", "--timeout=30s") })
	s.apply(`apiVersion: messaging.knative.dev/v1
kind: Channel
metadata: {name: letters}
---
apiVersion: messaging.knative.dev/v1
kind: Subscription
metadata: {name: letters}
spec:
  channel: {apiVersion: messaging.knative.dev/v1, kind: Channel, name: letters}
  subscriber: {ref: {apiVersion: v1, kind: Service, name: event-display}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: letters}
spec:
  broker: default
  filters: [{prefix: {type: letter.}}]
  subscriber: {ref: {apiVersion: messaging.knative.dev/v1, kind: Channel, name: letters}}
`)
	s.must("wait", "channel/letters", "subscription/letters", "trigger/letters", "--for=condition=Ready", "--timeout=60s")
	url := shared.brokerURL("default", "default")
	for i := range 5 {
		if code := event(t.Context(), kept, url, "letter.sent", fmt.Sprintf("l-%d", i), "{}"); code != http.StatusAccepted {
			t.Fatal(code)
		}
	}
	eventually(t, 20*time.Second, "five letters", func() error {
		if got := s.shown(); !slices.Equal(got, []string{"l-0", "l-1", "l-2", "l-3", "l-4"}) {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
}

func TestTriggersTellWhatIsWrong(t *testing.T) {
	s := shared.namespace(t)
	s.apply(`apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: b}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: lost}
spec:
  broker: b
  subscriber: {ref: {apiVersion: v1, kind: Service, name: nobody}}
`)
	eventually(t, 20*time.Second, "the reason", func() error {
		out := s.must("get", "trigger", "lost", "-o", "jsonpath={.status.conditions[?(@.type=='SubscriberResolved')].message}")
		if !strings.Contains(out, "nobody does not exist") {
			return fmt.Errorf("%q", out)
		}
		return nil
	})
	out, err := s.tryApply("apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: bad}\nspec:\n  broker: b\n  delivery: {backoffDelay: soon}\n  subscriber: {uri: http://x}\n")
	if err == nil || !strings.Contains(out, "backoffDelay") {
		t.Errorf("a delay that is none: %v\n%s", err, out)
	}
}
