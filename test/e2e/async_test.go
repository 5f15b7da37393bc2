package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asked sends a request with headers, given as name and value in turn.
func asked(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	got, err := do(fresh, request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return got
}

// outcome is a part of what is told of a request that is answered later.
type outcome struct {
	ID       string
	State    string
	Attempts int
	Status   int
	Error    string
	Result   string
}

func (a answer) outcome(t *testing.T) outcome {
	t.Helper()
	var o outcome
	if err := json.Unmarshal([]byte(a.body), &o); err != nil {
		t.Fatalf("%d %q: %v", a.code, a.body, err)
	}
	return o
}

// later sends a request that is to be answered later and returns where to ask for it.
func later(t *testing.T, url, path, body string, headers ...string) string {
	t.Helper()
	got := asked(t, http.MethodPost, url+path, body, append([]string{"Prefer", "respond-async"}, headers...)...)
	location := got.header.Get("Location")
	if got.code != http.StatusAccepted || location == "" || got.header.Get("Preference-Applied") != "respond-async" {
		t.Fatalf("POST %s%s: %d %s %v", url, path, got.code, got.body, got.header)
	}
	return url + location
}

// annotated is an app whose Service has annotations.
func annotated(t *testing.T, a app, annotations map[string]string) string {
	t.Helper()
	var service map[string]any
	if err := json.Unmarshal([]byte(a.manifest()), &service); err != nil {
		t.Fatal(err)
	}
	service["metadata"].(map[string]any)["annotations"] = annotations
	out, err := json.Marshal(service)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A Service that sleeps takes a request at once, is woken for it, and its answer is there for who asks later.
func TestAsyncWakesAServiceAndKeepsItsAnswer(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.apply(app{name: "a", annotations: asleepAtFirst()}.manifest())
	s.ready("a")
	url := s.url("a")
	at := later(t, url, "/echo?x=1", "hello", "X-Mine", "yes")
	got := asked(t, http.MethodGet, at, "", "Prefer", "wait=60")
	if o := got.outcome(t); o.State != "succeeded" || o.Status != 200 || o.Attempts != 1 {
		t.Fatalf("%d %s", got.code, got.body)
	}
	result := asked(t, http.MethodGet, at+"/result", "")
	var echo struct {
		Method, Path, Query, Body, Host string
		Headers                         http.Header
	}
	if err := json.Unmarshal([]byte(result.body), &echo); err != nil {
		t.Fatalf("%d %q", result.code, result.body)
	}
	if echo.Method != "POST" || echo.Path != "/echo" || echo.Query != "x=1" || echo.Body != "hello" || echo.Headers.Get("X-Mine") != "yes" ||
		echo.Headers.Get("Ebb-Async-Attempt") != "1" || !strings.HasPrefix(url, "http://"+strings.Split(echo.Headers.Get("X-Forwarded-Host"), ":")[0]) {
		t.Errorf("the app got %+v", echo)
	}
	for name := range echo.Headers {
		if strings.HasPrefix(name, "X-Ebb") {
			t.Errorf("the app got %s", name)
		}
	}
	if other := asked(t, http.MethodGet, url+"/.ebb/async/nobody", ""); other.code != http.StatusNotFound {
		t.Errorf("a request that does not exist: %d", other.code)
	}
	expect(t, url, "Hello") // without the header nothing is different
	expect(t, url+"/sleep?ms=1", "slept")
	if inline := asked(t, http.MethodPost, url+"/sleep?ms=100", "", "Prefer", "respond-async, wait=30"); inline.code != 200 || !strings.Contains(inline.body, "slept") {
		t.Errorf("with a wait: %d %s", inline.code, inline.body)
	}
	large := asked(t, http.MethodPost, url+"/echo", strings.Repeat("x", 2<<20), "Prefer", "respond-async")
	if large.code != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MiB: %d", large.code)
	}
}

// A call's time limit is its own, not the revision's; and nobody else gets rid of that.
func TestAsyncCallsOutliveTheRevisionsTimeouts(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.serve(app{name: "a", spec: map[string]any{"timeoutSeconds": 2, "responseStartTimeoutSeconds": 1}})
	url := s.url("a")
	becomes(t, url+"/sleep?ms=1", http.StatusOK, "slept 1ms")
	if got := asked(t, http.MethodGet, url+"/sleep?ms=8000", "", "Ebb-Async-Attempt", "1"); got.code != http.StatusGatewayTimeout {
		t.Errorf("a client with the dispatcher's header: %d", got.code)
	}
	at := later(t, url, "/sleep?ms=8000", "")
	if o := asked(t, http.MethodGet, at, "", "Prefer", "wait=40").outcome(t); o.State != "succeeded" || o.Attempts != 1 {
		t.Errorf("%+v", o)
	}
	own := later(t, url, "/sleep?ms=8000", "", "Ebb-Async-Timeout", "1", "Ebb-Async-Retry", "0")
	if o := asked(t, http.MethodGet, own, "", "Prefer", "wait=40").outcome(t); o.State != "dead" || o.Error != "no answer within 1s" {
		t.Errorf("%+v", o)
	}
}

func TestAsyncAlwaysIsCancelledRetriedAndBypassed(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.apply(annotated(t, app{name: "a"}, map[string]string{
		"async.knative.dev/mode": "always.async.knative.dev", "async.ebb.dev/retry": "1", "async.ebb.dev/backoff": "100ms",
	}))
	s.ready("a")
	url := s.url("a")
	if got := asked(t, http.MethodGet, url+"/sleep?ms=1", "", "Prefer", "respond-sync"); got.code != 200 || !strings.Contains(got.body, "slept") {
		t.Errorf("respond-sync: %d %s", got.code, got.body)
	}
	got := asked(t, http.MethodGet, url+"/status?code=500", "")
	if got.code != http.StatusAccepted {
		t.Fatalf("%d %s", got.code, got.body)
	}
	if o := asked(t, http.MethodGet, url+got.header.Get("Location"), "", "Prefer", "wait=30").outcome(t); o.State != "dead" || o.Attempts != 2 || o.Status != 500 {
		t.Errorf("%+v", o)
	}
	out, err := exec.Command(filepath.Join(s.bin, "ebb"), "async", "list", "a", "--in", "dead", "--state", s.state, "-n", s.name).CombinedOutput()
	if id := strings.TrimPrefix(got.header.Get("Location"), "/.ebb/async/"); err != nil || !strings.Contains(string(out), id) {
		t.Errorf("ebb async list: %v %s", err, out)
	}
	long := asked(t, http.MethodPost, url+"/sleep?ms=60000", "", "Idempotency-Key", "k")
	again := asked(t, http.MethodPost, url+"/sleep?ms=60000", "", "Idempotency-Key", "k")
	if long.outcome(t).ID != again.outcome(t).ID {
		t.Errorf("%s and %s", long.body, again.body)
	}
	if other := asked(t, http.MethodPost, url+"/sleep?ms=6", "", "Idempotency-Key", "k"); other.code != http.StatusUnprocessableEntity {
		t.Errorf("another request with the key: %d", other.code)
	}
	at := url + long.header.Get("Location")
	eventually(t, 20*time.Second, "the call is under way", func() error {
		if o := asked(t, http.MethodGet, at, "").outcome(t); o.State != "running" {
			return fmt.Errorf("%+v", o)
		}
		return nil
	})
	if got := asked(t, http.MethodDelete, at, ""); got.code != 200 || got.outcome(t).State != "cancelled" {
		t.Errorf("%d %s", got.code, got.body)
	}
	if _, err := s.tryApply(annotated(t, app{name: "b"}, map[string]string{"async.knative.dev/mode": "sometimes"})); err == nil {
		t.Error("a mode that is none was admitted")
	}
}

// A callback reaches a Service of the cluster by the gateway, and wakes it.
func TestAsyncCallbackReachesAService(t *testing.T) {
	t.Parallel()
	s := shared.namespace(t)
	s.serve(app{name: "a"})
	s.apply(app{name: "hook", annotations: asleepAtFirst()}.manifest())
	s.ready("hook")
	url := s.url("a")
	at := later(t, url, "/status?code=404", "", "Ebb-Async-Callback", "http://hook."+s.name+".svc.cluster.local/echo")
	eventually(t, 60*time.Second, "the callback", func() error {
		if got := asked(t, http.MethodGet, at, ""); !strings.Contains(got.body, `"state": "delivered"`) {
			return fmt.Errorf("%s", got.body)
		}
		return nil
	})
}

// What was accepted is called and its answer kept, though the broker is killed again and again.
func TestFaultNoAcceptedAsyncRequestIsLost(t *testing.T) {
	s := shared.namespace(t)
	s.serve(app{name: "a"})
	url := s.url("a")
	kills := 2
	if long() {
		kills = 10
	}
	var accepted []string
	send := func(d time.Duration) {
		for end := time.Now().Add(d); time.Now().Before(end); {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/sleep?ms=300", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Prefer", "respond-async")
			if got, err := do(fresh, request); err == nil && got.code == http.StatusAccepted {
				accepted = append(accepted, url+got.header.Get("Location"))
			}
			time.Sleep(5 * time.Millisecond) // a pace, no ordering
		}
	}
	for range kills {
		send(500 * time.Millisecond)
		c, err := shared.component("broker")
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		send(time.Second)
		eventually(t, 60*time.Second, "the broker to be back", func() error {
			if now, err := shared.component("broker"); err != nil || now.State != "ready" || now.PID == c.PID {
				return fmt.Errorf("%+v, %v", now, err)
			}
			return nil
		})
	}
	send(200 * time.Millisecond)
	if len(accepted) < 20 {
		t.Fatalf("only %d were accepted", len(accepted))
	}
	for _, at := range accepted {
		eventually(t, 60*time.Second, at, func() error {
			got := asked(t, http.MethodGet, at, "", "Prefer", "wait=20")
			if got.code != 200 || got.outcome(t).State != "succeeded" {
				return fmt.Errorf("%d %s", got.code, got.body)
			}
			return nil
		})
		if result := asked(t, http.MethodGet, at+"/result", ""); result.code != 200 || !strings.Contains(result.body, "slept 300ms") {
			t.Fatalf("%s: %d %s", at, result.code, result.body)
		}
	}
	t.Logf("%d accepted, all answered, in %d lives of the broker", len(accepted), kills+1)
}
