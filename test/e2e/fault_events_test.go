package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/test/freeport"
)

// subscriberVariable makes the test binary a subscriber: ADDRESS,FOLDER.
const subscriberVariable = "EBB_E2E_SUBSCRIBER"

// subscribe notes each event's id in FOLDER/PATH before it answers, until it is killed.
func subscribe(where string) error {
	address, folder, _ := strings.Cut(where, ",")
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.OpenFile(filepath.Join(folder, filepath.Base(r.URL.Path)), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(r.Header.Get("Ce-Id") + "\n") // one write: a kill leaves the whole line, or nothing
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
}

// noter is a subscriber in a process of its own, which can be killed, and what it noted.
type noter struct {
	t               *testing.T
	address, folder string
	process         *exec.Cmd
}

func newNoter(t *testing.T) *noter {
	t.Helper()
	n := &noter{t: t, address: freeport.Address(freeport.Must(t)), folder: t.TempDir()}
	n.start()
	t.Cleanup(n.kill)
	return n
}

func (n *noter) start() {
	n.t.Helper()
	n.process = exec.Command(os.Args[0])
	n.process.Env = append(os.Environ(), subscriberVariable+"="+n.address+","+n.folder)
	n.process.Stderr = os.Stderr
	if err := n.process.Start(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *noter) kill() {
	n.process.Process.Kill()
	n.process.Wait()
}

// noted are the ids of what came to a path, in order.
func (n *noter) noted(path string) []string {
	data, err := os.ReadFile(filepath.Join(n.folder, path))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		n.t.Fatal(err)
	}
	return strings.Fields(string(data))
}

// Whatever is killed, what was answered 202 arrives, duplicates with the same id aside; and in order where that was asked for.
func TestFaultNoAcceptedEventIsLost(t *testing.T) {
	s := shared.namespace(t)
	s.losesNoEvent("apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b}\n", nil)
}

// The same with a log that is another process: Kafka is killed too.
func TestFaultNoEventAcceptedByKafkaIsLost(t *testing.T) {
	s := shared.namespace(t)
	k, _ := s.kafka(1)
	s.losesNoEvent(`apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: b, annotations: {eventing.knative.dev/broker.class: Kafka}}
spec:
  config: {apiVersion: v1, kind: ConfigMap, name: kafka-broker-config, namespace: knative-eventing}
`, func(load *eventLoad) {
		k.Kill()
		back := make(chan error, 1)
		go func() { back <- k.Restart(t.Context()) }() // whoever sends waits for it
		load.send(t.Context(), 1500*time.Millisecond)
		if err := <-back; err != nil {
			t.Fatal(err)
		}
		load.send(t.Context(), 500*time.Millisecond)
	})
}

// losesNoEvent sends to a Broker b with an ordered and an unordered Trigger while everything that an event passes is killed in turn; killLog kills
// the log where that is not the broker's own.
func (s *space) losesNoEvent(broker string, killLog func(*eventLoad)) {
	t := s.t
	t.Helper()
	n := newNoter(t)
	trigger := "---\napiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: %s, annotations: {%s}}\nspec:\n" +
		"  broker: b\n  subscriber: {uri: \"http://%s/%s\"}\n  delivery: {retry: 20, backoffPolicy: linear, backoffDelay: PT0.2S}\n"
	s.apply(broker + fmt.Sprintf(trigger, "any", "", n.address, "any") +
		fmt.Sprintf(trigger, "ordered", "kafka.eventing.knative.dev/delivery.order: ordered", n.address, "ordered"))
	s.must("wait", "broker/b", "trigger/any", "trigger/ordered", "--for=condition=Ready", "--timeout=60s")
	strikes := []func(*eventLoad){
		componentKill(t, "broker"), componentKill(t, "gateway"), componentKill(t, "control-plane"),
		func(load *eventLoad) {
			n.kill()
			load.send(t.Context(), 500*time.Millisecond)
			n.start()
		},
	}
	if killLog != nil {
		strikes = append(strikes, killLog)
	}
	load := &eventLoad{url: shared.brokerURL(s.name, "b")}
	for _, strike := range strikes {
		for range kills() {
			load.send(t.Context(), 500*time.Millisecond)
			strike(load)
		}
	}
	load.send(t.Context(), time.Second)
	s.arrived(load, n)
}

// componentKill kills a component of `ebb status`, sends, and waits until the next one is ready.
func componentKill(t *testing.T, name string) func(*eventLoad) {
	return func(load *eventLoad) {
		t.Helper()
		before := shared.back(t, name)
		kill(t, before.PID)
		load.send(t.Context(), 1500*time.Millisecond)
		shared.noticed(t, name, before)
		shared.back(t, name)
	}
}

// arrived waits until both Triggers' subscribers have every event that was accepted, the ordered one's in order.
func (s *space) arrived(load *eventLoad, n *noter) {
	t := s.t
	t.Helper()
	if len(load.accepted) < 100 {
		t.Fatalf("only %d events were accepted", len(load.accepted))
	}
	for _, path := range []string{"any", "ordered"} {
		eventually(t, 60*time.Second, "every accepted event at "+path, func() error {
			missing, again := compare(load.accepted, n.noted(path))
			if len(missing) > 0 {
				return fmt.Errorf("%d of %d are missing: %v", len(missing), len(load.accepted), missing[:min(5, len(missing))])
			}
			t.Logf("%s: %d accepted of %d sent, all delivered, %d of them again", path, len(load.accepted), load.next, again)
			return nil
		})
	}
	if first := firsts(n.noted("ordered")); !slices.IsSorted(first) {
		t.Errorf("the ordered Trigger's events came in another order than they were sent in")
	}
}

// eventLoad sends events one after the other and keeps which were accepted.
type eventLoad struct {
	url      string
	next     int
	accepted []string
}

func (l *eventLoad) send(ctx context.Context, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		id := fmt.Sprintf("k-%06d", l.next)
		l.next++
		if event(ctx, fresh, l.url, "dev.knative.samples.helloworld", id, "{}") == http.StatusAccepted {
			l.accepted = append(l.accepted, id)
		}
	}
}

// compare returns which ids did not come, and how many came more than once.
func compare(want, got []string) (missing []string, again int) {
	count := map[string]int{}
	for _, id := range got {
		count[id]++
	}
	for _, id := range want {
		if count[id] == 0 {
			missing = append(missing, id)
		}
		again += max(0, count[id]-1)
	}
	return missing, again
}

// firsts are the ids in the order in which each came first.
func firsts(ids []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, id := range ids {
		if !seen[id] {
			out = append(out, id)
		}
		seen[id] = true
	}
	return out
}
