package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"ebb.dev/ebb/cmd/ebb/broker"
	"ebb.dev/ebb/crds/duck"
	"ebb.dev/ebb/crds/eventing"
	eventingv1 "ebb.dev/ebb/crds/eventing/v1"
	"ebb.dev/ebb/crds/manifests"
	"ebb.dev/ebb/deploy/local/state"
	"ebb.dev/ebb/eventing/dispatch"
	"ebb.dev/ebb/test/apiserver"
	"ebb.dev/ebb/test/freeport"
)

// steered is an API server, a platform's folder and an event broker that reads and delivers.
type steered struct {
	t      *testing.T
	api    client.Client
	dir    *state.Dir
	listen string
	broker *exec.Cmd
	// keeps are the broker's flags that say where its log is; by default embedded, in a folder of its own. flags are more of them.
	keeps, flags []string

	mu  sync.Mutex
	got []string
}

func (s *steered) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, r.Header.Get("Ce-Id"))
	w.WriteHeader(http.StatusAccepted)
}

func (s *steered) received() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.got, " ")
}

func steer(t *testing.T) *steered {
	t.Helper()
	cluster := apiserver.Start(t, apiserver.Options{})
	s := &steered{t: t, api: cluster.Client(t, apiserver.Scheme(t))}
	var err error
	if s.dir, err = state.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if err := s.dir.Save(state.Instance{}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(cluster.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.dir.Kubeconfig(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"default", eventing.SystemNamespace} {
		if err := client.IgnoreAlreadyExists(s.api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range manifests.CustomResourceDefinitions() {
		if err := s.api.Create(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range manifests.CustomResourceDefinitions() {
		apiserver.Eventually(t, d.Name+" is served", func(ctx context.Context) bool {
			var have apiextensionsv1.CustomResourceDefinition
			if s.api.Get(ctx, client.ObjectKey{Name: d.Name}, &have) != nil {
				return false
			}
			for _, c := range have.Status.Conditions {
				if c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue {
					return true
				}
			}
			return false
		})
	}
	s.listen = freeport.Address(freeport.Must(t))
	s.keeps = []string{"--dir", s.dir.Path("events"), "--relaxed"}
	return s
}

// start starts the broker and waits until it takes events.
func (s *steered) start() {
	s.t.Helper()
	s.broker = exec.Command(os.Args[0], "broker", "--kubeconfig", s.dir.Kubeconfig(),
		"--listen", s.listen, "--advertise", "192.0.2.1", "--debug-listen", "unix:"+s.dir.Run("events.sock"))
	s.broker.Args = append(append(s.broker.Args, s.keeps...), s.flags...)
	s.broker.Env = append(os.Environ(), "EBB_TEST_ROLE=ebb")
	log, err := os.OpenFile(s.dir.Path("broker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.broker.Stdout, s.broker.Stderr = log, log
	if err := os.MkdirAll(filepath.Dir(s.dir.Run("events.sock")), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := s.broker.Start(); err != nil {
		s.t.Fatal(err)
	}
	running := s.broker
	s.t.Cleanup(func() {
		_ = running.Process.Kill()
		_ = running.Wait()
	})
	apiserver.Eventually(s.t, "the broker listens", func(ctx context.Context) bool {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.listen)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// said is what the broker has said so far.
func (s *steered) said() string {
	text, err := os.ReadFile(s.dir.Path("broker.log"))
	if err != nil {
		s.t.Error(err)
	}
	return string(text)
}

func (s *steered) stop() {
	s.t.Helper()
	if err := s.broker.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := s.broker.Wait(); err != nil {
		s.t.Fatalf("%v\n%s", err, s.said())
	}
}

// send has the Broker take an event, once it does.
func (s *steered) send(id string) {
	s.t.Helper()
	apiserver.Eventually(s.t, "event "+id+" is taken", func(ctx context.Context) bool {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.listen+"/default/default", strings.NewReader("hello"))
		if err != nil {
			return false
		}
		for name, value := range map[string]string{"Specversion": "1.0", "Id": id, "Source": "/me", "Type": "greeting"} {
			r.Header.Set("Ce-"+name, value)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusAccepted
	})
}

func (s *steered) gets(want string) {
	s.t.Helper()
	apiserver.Eventually(s.t, "the subscriber gets "+want, func(context.Context) bool { return s.received() == want })
}

// events runs a command about events and decodes what it prints as JSON, if into is not nil.
func (s *steered) events(into any, args ...string) error {
	s.t.Helper()
	cmd := newEventsCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append(args, "--state", s.dir.Root(), "-o", "json"))
	err := cmd.ExecuteContext(s.t.Context())
	if into != nil {
		if err := json.Unmarshal(out.Bytes(), into); err != nil {
			s.t.Fatalf("%v: %v\n%s", args, err, out.String())
		}
	}
	return err
}

func (s *steered) must(into any, args ...string) {
	s.t.Helper()
	if err := s.events(into, args...); err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, s.said())
	}
}

func (s *steered) states() map[string]string {
	var triggers []broker.TriggerState
	s.must(&triggers, "triggers")
	out := map[string]string{}
	for _, t := range triggers {
		out[t.Name] = triggerStateOf(t)
	}
	return out
}

func TestEventsAreSteeredAcrossRestarts(t *testing.T) {
	s := steer(t)
	subscriber := httptest.NewServer(s)
	defer subscriber.Close()
	for _, o := range []client.Object{
		&eventingv1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}},
		&eventingv1.Trigger{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shown", Annotations: map[string]string{"eventing.ebb.dev/delivery.order": "ordered"}},
			Spec:       eventingv1.TriggerSpec{Broker: "default", Subscriber: duck.Destination{URI: &subscriber.URL}},
		},
		&eventingv1.Trigger{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "gone"},
			Spec: eventingv1.TriggerSpec{Broker: "default", Subscriber: duck.Destination{URI: &subscriber.URL},
				Filter: &eventingv1.TriggerFilter{Attributes: map[string]string{"type": "nothing"}}},
		},
	} {
		if err := s.api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	apiserver.Eventually(t, "both Triggers deliver", func(context.Context) bool { return len(s.states()) == 2 })
	s.send("1")
	s.send("2")
	s.gets("1 2")

	var paused pausedTrigger
	s.must(&paused, "pause", "shown")
	if !paused.Paused || s.states()["shown"] != "paused" {
		t.Errorf("%+v, %v", paused, s.states())
	}
	s.send("3")
	s.stop()
	var doomed eventingv1.Trigger
	if err := s.api.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "gone"}, &doomed); err != nil {
		t.Fatal(err)
	}
	if err := s.api.Delete(t.Context(), &doomed); err != nil {
		t.Fatal(err)
	}
	s.start()
	apiserver.Eventually(t, "the pause outlives the restart", func(context.Context) bool { return s.states()["shown"] == "paused" })
	var found broker.Trace
	s.must(&found, "trace", "3")
	if len(found.Stored) != 1 || len(found.Stored[0].Readers) != 1 || found.Stored[0].Readers[0].State != dispatch.Waiting || !found.Stored[0].Readers[0].Paused {
		t.Errorf("%+v", found)
	}
	if err := s.events(nil, "replay", "shown", "--from", "1"); err == nil || !strings.Contains(err.Error(), "it is paused") {
		t.Errorf("a paused Trigger is replayed: %v", err)
	}
	if got := s.received(); got != "1 2" {
		t.Errorf("while paused the subscriber got %s", got)
	}
	s.must(nil, "resume", "shown")
	s.gets("1 2 3")
	s.must(&found, "trace", "2")
	if state := found.Stored[0].Readers[0].State; state != dispatch.Taken {
		t.Errorf("2 is %s", state)
	}

	var replayed broker.Replay
	s.must(&replayed, "replay", "shown", "--from", "2", "--to", "3", "--dry-run")
	if replayed.Matched != 2 || len(replayed.Events) != 2 {
		t.Errorf("%+v", replayed)
	}
	s.must(&replayed, "replay", "shown", "--from", "2", "--to", "3")
	if replayed.Delivered != 2 {
		t.Errorf("%+v", replayed)
	}
	s.gets("1 2 3 2 3")
	apiserver.Eventually(t, "the deleted Trigger is swept", func(context.Context) bool {
		log := s.said()
		return strings.Contains(log, "reader of a deleted object forgotten") && strings.Contains(log, "trigger."+string(doomed.UID))
	})
	s.stop()
}
