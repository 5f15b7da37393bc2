package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What waits for a subscriber becomes requests, which the autoscaler scales it by: ten at once would keep this one at two replicas.
func TestABacklogOfEventsScalesItsSubscriberUpAndBackToZero(t *testing.T) {
	t.Parallel()
	worker := app{name: "worker", annotations: asleepAtFirst(), spec: map[string]any{"containerConcurrency": 10}}
	worker.annotations["autoscaling.knative.dev/max-scale"] = "6"
	s, url := subscribed(t, worker, "{}", 100)
	const events = 800
	sent := post(t, url, events)
	most := s.grows("worker", 4)
	sent.Wait()
	s.delivered(events)
	t.Logf("%d replicas at most for a backlog of %d events", most, events)
	s.asleep("worker")
}

// Concurrency alone asks for four replicas, at 70 of at most 256 deliveries each; 50 events for a replica ask for as many as there may be. What
// waits for a Trigger that is paused asks for none.
func TestABacklogTargetScalesBeyondWhatDeliveriesAskFor(t *testing.T) {
	t.Parallel()
	worker := app{name: "worker", annotations: asleepAtFirst()}
	worker.annotations["autoscaling.knative.dev/max-scale"] = "7"
	worker.annotations["autoscaling.ebb.dev/backlog-target"] = "50"
	s, url := subscribed(t, worker, `{eventing.ebb.dev/paused: "true"}`, 300)
	const events = 1200
	post(t, url, events).Wait()
	if n := len(s.replicas("worker")); n != 0 {
		t.Errorf("%d replicas for a Trigger that is paused", n)
	}
	if out, err := s.events("resume", "work"); err != nil {
		t.Fatalf("resume: %v\n%s", err, out)
	}
	s.grows("worker", 7)
	s.delivered(events)
	s.asleep("worker")
}

// subscribed is a namespace with a Broker whose events a worker takes, some milliseconds each, and the Broker's URL. annotations are the
// Trigger's, as YAML.
func subscribed(t *testing.T, worker app, annotations string, millis int) (s *space, url string) {
	t.Helper()
	s = shared.namespace(t)
	s.serve(worker)
	s.apply(fmt.Sprintf(`apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: b}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: work, annotations: %s}
spec:
  broker: b
  subscriber:
    ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: %s}
    uri: /sleep?ms=%d
`, annotations, worker.name, millis))
	s.must("wait", "broker/b", "trigger/work", "--for=condition=Ready", "--timeout=60s")
	return s, shared.brokerURL(s.name, "b")
}

// post sends so many events, from four senders.
func post(t *testing.T, url string, events int) *sync.WaitGroup {
	var senders sync.WaitGroup
	for sender := range 4 {
		senders.Go(func() {
			for i := range events / 4 {
				if code := event(t.Context(), kept, url, "work", fmt.Sprintf("%d-%d", sender, i), "{}"); code != http.StatusAccepted {
					t.Errorf("event %d of sender %d: %d", i, sender, code)
				}
			}
		})
	}
	return &senders
}

// grows waits until a service has so many replicas at once, and returns how many it had at most.
func (s *space) grows(service string, replicas int) (most int) {
	s.t.Helper()
	eventually(s.t, 60*time.Second, fmt.Sprintf("at least %d replicas at once", replicas), func() error {
		if most = max(most, len(s.replicas(service))); most < replicas {
			return fmt.Errorf("%d so far", most)
		}
		return nil
	})
	return most
}

// delivered waits until the namespace's only Trigger has had so many events taken.
func (s *space) delivered(events int) {
	s.t.Helper()
	eventually(s.t, 60*time.Second, "all events are delivered", func() error {
		out, err := s.events("triggers", "-o", "json")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if !strings.Contains(out, fmt.Sprintf(`"delivered": %d`, events)) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

// events is `ebb events` in the namespace.
func (s *space) events(command string, args ...string) (string, error) {
	args = append([]string{"events", command, "--state", s.state, "-n", s.name}, args...)
	out, err := exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "ebb"), args...).CombinedOutput()
	return string(out), err
}
