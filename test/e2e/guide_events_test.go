package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// took are the ids of the events that a service of the guide says it has had, in order and with repetitions.
func (s *space) took(service string) []string {
	out, err := s.try("logs", "-l", "serving.knative.dev/service="+service, "-c", "user-container", "--tail=-1")
	if err != nil {
		return nil
	}
	var ids []string
	for _, found := range regexp.MustCompile(`received event (\S+) of type`).FindAllStringSubmatch(out, -1) {
		ids = append(ids, found[1])
	}
	return ids
}

// taken waits until each service has had the events given, and no other.
func (s *space) taken(want map[string][]string) {
	s.t.Helper()
	eventually(s.t, 30*time.Second, "each service to have its events and no other", func() error {
		for _, service := range slices.Sorted(maps.Keys(want)) {
			if got := s.took(service); !slices.Equal(got, want[service]) {
				return fmt.Errorf("%s has %v, want %v", service, got, want[service])
			}
		}
		return nil
	})
}

// emit sends an event to the Broker default of the namespace default.
func (s *space) emit(kind, id string) {
	s.t.Helper()
	if code := event(s.t.Context(), kept, s.brokerURL("default", "default"), kind, id, `{"n":1}`); code != http.StatusAccepted {
		s.t.Fatalf("event %s of type %s: %d", id, kind, code)
	}
}

// eventsOfGuide applies the guide's Broker, and takes it away with its Triggers.
func (s *space) eventsOfGuide() {
	s.t.Helper()
	s.t.Cleanup(func() { s.try("delete", "trigger,broker", "--all", "--timeout=30s") })
	s.apply(guideFile(s.t, "03-default-broker.yaml"))
	s.must("wait", "broker/default", "--for=condition=Ready", "--timeout=60s")
}

func (s *space) triggersReady(names ...string) {
	s.t.Helper()
	args := []string{"wait", "--for=condition=Ready", "--timeout=60s"}
	for _, name := range names {
		args = append(args, "trigger/"+name)
	}
	s.must(args...)
}

// TestGuideECommerceEventsReachTheirServices goes from the guide's orders (08 to 10) to its shop (14 and 15), which uses names of Triggers and
// of a Service again: they are re-pointed, and nothing that is sent meanwhile is lost.
func TestGuideECommerceEventsReachTheirServices(t *testing.T) {
	s := shared.inDefault(t)
	s.eventsOfGuide()
	s.apply(guideFile(t, "08-payment-processor.yaml") + "\n---\n" + guideFile(t, "09-inventory-service.yaml") + "\n---\n" + guideFile(t, "10-triggers.yaml"))
	s.apply(guideFile(t, "14-e-commerce-services.yaml"))
	s.ready("payment-processor", "inventory-service", "order-api", "payment-service", "shipping-service", "notification-service")
	s.triggersReady("payment-trigger", "inventory-trigger")
	s.emit("order.created", "before")
	s.taken(map[string][]string{"payment-processor": {"before"}, "inventory-service": {"before"}, "payment-service": nil})
	uid := s.path("trigger/payment-trigger", "{.metadata.uid}")

	// While the Triggers change, events go on.
	stop, sent := make(chan struct{}), make(chan []string)
	go func() {
		var ids []string
		defer func() { sent <- ids }()
		for i := 0; ; i++ {
			id := fmt.Sprintf("during-%03d", i)
			if event(t.Context(), kept, s.brokerURL("default", "default"), "order.created", id, "{}") == http.StatusAccepted {
				ids = append(ids, id)
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond): // a rate, no ordering
			}
		}
	}()
	s.apply(guideFile(t, "15-e-commerce-triggers.yaml"))
	s.triggersReady("payment-trigger", "inventory-trigger", "shipping-trigger", "notification-trigger")
	s.must("wait", "trigger/payment-trigger", "--timeout=30s", "--for=jsonpath={.status.subscriberUri}=http://payment-service.default.svc.cluster.local")
	close(stop)
	during := <-sent
	if got := s.path("trigger/payment-trigger", "{.metadata.uid}"); got != uid {
		t.Errorf("payment-trigger was made anew: UID %s, was %s", got, uid)
	}
	s.emit("order.created", "after")
	s.emit("payment.completed", "paid")
	s.emit("order.status.changed", "shipped")
	s.emit("order.cancelled", "nobody")
	eventually(t, 30*time.Second, "every order to be paid for by the old service or the new one", func() error {
		former, now := s.took("payment-processor"), s.took("payment-service")
		for _, id := range slices.Concat(during, []string{"after"}) {
			if !slices.Contains(former, id) && !slices.Contains(now, id) {
				return fmt.Errorf("%s is lost: %d events at payment-processor, %d at payment-service", id, len(former), len(now))
			}
		}
		return nil
	})
	t.Logf("%d events while the Triggers changed", len(during))
	s.taken(map[string][]string{"shipping-service": {"paid"}, "notification-service": {"shipped"}, "order-api": nil})
	if former := s.took("payment-processor"); slices.Contains(former, "after") {
		t.Errorf("the Trigger is re-pointed, and payment-processor has %v", former)
	}
	if got := s.took("payment-service"); !slices.Contains(got, "after") || slices.Contains(got, "paid") {
		t.Errorf("payment-service has %v", got)
	}
	eventually(t, 20*time.Second, "the inventory to have every order once", func() error {
		got := s.took("inventory-service")
		slices.Sort(got)
		want := slices.Concat([]string{"after", "before"}, during)
		if slices.Sort(want); !slices.Equal(got, want) {
			return fmt.Errorf("it has %d events of %d", len(got), len(want))
		}
		return nil
	})
}

func TestGuidePipelineStepsHaveTheirEvents(t *testing.T) {
	s := shared.inDefault(t)
	s.eventsOfGuide()
	s.apply(guideFile(t, "17-ci-cd-pipeline.yaml"))
	s.ready("git-webhook-receiver", "build-service", "test-runner", "deployer")
	s.triggersReady("build-trigger", "test-trigger", "deploy-trigger")
	for _, kind := range []string{"git.push", "build.completed", "test.passed", "test.failed"} {
		s.emit(kind, strings.ReplaceAll(kind, ".", "-"))
	}
	want := map[string][]string{
		"build-service": {"git-push"}, "test-runner": {"build-completed"}, "deployer": {"test-passed"}, "git-webhook-receiver": nil,
	}
	s.taken(want)
	// The names of 17 and the types of 15 have nothing in common: what is no step of the pipeline goes nowhere.
	s.emit("order.created", "order")
	s.emit("git.push", "again")
	want["build-service"] = []string{"git-push", "again"}
	s.taken(want)
}
