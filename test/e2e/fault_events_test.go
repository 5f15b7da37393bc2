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
	"syscall"
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
	n := newNoter(t)
	trigger := "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: %s, annotations: {%s}}\nspec:\n" +
		"  broker: b\n  subscriber: {uri: \"http://%s/%s\"}\n  delivery: {retry: 20, backoffPolicy: linear, backoffDelay: PT0.2S}\n---\n"
	s.apply("apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b}\n---\n" +
		fmt.Sprintf(trigger, "any", "", n.address, "any") +
		fmt.Sprintf(trigger, "ordered", "kafka.eventing.knative.dev/delivery.order: ordered", n.address, "ordered"))
	s.must("wait", "broker/b", "trigger/any", "trigger/ordered", "--for=condition=Ready", "--timeout=60s")
	load := &eventLoad{url: shared.brokerURL(s.name, "b")}
	kills := 2
	if long() {
		kills = 20
	}
	for _, name := range []string{"broker", "gateway", "control-plane", "subscriber"} {
		for range kills {
			load.send(t.Context(), 500*time.Millisecond)
			if name == "subscriber" {
				n.kill()
				load.send(t.Context(), 500*time.Millisecond)
				n.start()
				continue
			}
			c, err := shared.component(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
				t.Fatalf("kill %s: %v", name, err)
			}
			load.send(t.Context(), 1500*time.Millisecond)
			eventually(t, 60*time.Second, name+" to be back", func() error {
				if now, err := shared.component(name); err != nil || now.State != "ready" || now.PID == c.PID {
					return fmt.Errorf("%+v, %v", now, err)
				}
				return nil
			})
		}
	}
	load.send(t.Context(), time.Second)
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
