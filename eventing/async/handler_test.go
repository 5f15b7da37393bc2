package async

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ebb.dev/ebb/crds/async"
	"ebb.dev/ebb/eventing/async/journal"
	"ebb.dev/ebb/eventing/async/request"
)

// ask sends a request as a gateway does, and returns the answer. Headers are names and values in turn.
func (w *world) ask(method, path, body string, headers ...string) *http.Response {
	w.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "hello.default.example.com"
	r.Header.Set(async.ServiceHeader, "default/hello")
	r.Header.Set(async.HostHeader, "hello.default.svc.cluster.local")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	(&Handler{Engine: w.engine}).ServeHTTP(recorder, r)
	return recorder.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func described(t *testing.T, r *http.Response) Status {
	t.Helper()
	var s Status
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAClientGetsAnIdThenTheStatusThenTheAnswer(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.app = func(ctx context.Context, r request.Record, m journal.Message) (request.Answer, journal.Message) {
			time.Sleep(10 * time.Second)
			if r.Target != "/work?a=b" || string(m.Body) != "input" || m.Header.Get("X-Mine") != "1" || m.Header.Get("X-Forwarded-Host") != "hello.default.example.com" ||
				m.Host != "hello.default.svc.cluster.local" || m.Header.Get(async.ServiceHeader) != "" {
				t.Errorf("got %s %+v", r.Target, m)
			}
			return request.Answer{Status: 201, Kept: true}, journal.Message{Header: http.Header{"X-App": {"1", "2"}, "Content-Type": {"text/x"}}, Body: []byte("output")}
		}
		w.start()
		accepted := w.ask("POST", "/work?a=b", "input", "Prefer", "respond-async", "X-Mine", "1")
		location := accepted.Header.Get("Location")
		status := described(t, accepted)
		if accepted.StatusCode != 202 || location != async.Path+status.ID || accepted.Header.Get(async.AppliedHeader) != "respond-async" || status.State != request.Queued {
			t.Fatalf("%d %s %+v", accepted.StatusCode, location, status)
		}
		synctest.Wait()
		if s := described(t, w.ask("GET", location, "")); s.State != request.Running || s.Attempts != 1 || s.Result != "" {
			t.Errorf("%+v", s)
		}
		early := w.ask("GET", location+"/result", "", "Prefer", "wait=3")
		if early.StatusCode != 202 || early.Header.Get("Retry-After") != "1" {
			t.Errorf("result before the end: %d", early.StatusCode)
		}
		began := time.Now()
		if s := described(t, w.ask("GET", location, "", "Prefer", "wait=60")); s.State != request.Succeeded || s.Status != 201 || s.Result != location+"/result" {
			t.Errorf("%+v", s)
		}
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("waited %s", took)
		}
		result := w.ask("GET", location+"/result", "")
		if result.StatusCode != 201 || body(t, result) != "output" || fmt.Sprint(result.Header["X-App"]) != "[1 2]" || result.Header.Get(async.StateHeader) != "succeeded" || result.Header.Get("Content-Type") != "text/x" {
			t.Errorf("%d %v", result.StatusCode, result.Header)
		}
		if r := w.ask("DELETE", location, ""); r.StatusCode != http.StatusConflict {
			t.Errorf("cancelled after the end: %d", r.StatusCode)
		}
	})
}

func TestAClientThatWouldWaitGetsTheAnswerItself(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.app = sleeps(2 * time.Second)
		w.start()
		if r := w.ask("POST", "/", "", "Prefer", "respond-async, wait=5"); r.StatusCode != 200 || body(t, r) != "slept" {
			t.Errorf("%d", r.StatusCode)
		}
		if r := w.ask("POST", "/", "", "Prefer", "respond-async, wait=1"); r.StatusCode != 202 {
			t.Errorf("%d", r.StatusCode)
		}
	})
}

func TestWhatBecameOfItSaysTheCode(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Retry = 0
		outcome := request.Answer{}
		w.app = func(ctx context.Context, r request.Record, m journal.Message) (request.Answer, journal.Message) {
			return outcome, journal.Message{Body: []byte("app")}
		}
		w.start()
		for _, c := range []struct {
			answer request.Answer
			state  request.State
			code   int
		}{
			{request.Answer{Status: 200, Kept: true}, request.Succeeded, 200},
			{request.Answer{Status: 404, Kept: true}, request.Failed, 404},
			{request.Answer{Status: 500, Kept: true}, request.Dead, 500},
			{request.Answer{Error: "no answer within 1m"}, request.Dead, http.StatusGatewayTimeout},
			{request.Answer{Status: 200, Error: "too large"}, request.Succeeded, http.StatusInsufficientStorage},
		} {
			outcome = c.answer
			r := w.ask("POST", "/", "x", "Prefer", "respond-async")
			location := r.Header.Get("Location")
			synctest.Wait()
			if s := described(t, w.ask("GET", location, "")); s.State != c.state {
				t.Errorf("%+v: %+v", c, s)
			}
			if r := w.ask("GET", location+"/result", ""); r.StatusCode != c.code {
				t.Errorf("%+v: %d", c, r.StatusCode)
			}
		}
		outcome = request.Answer{Status: 500}
		location := w.ask("POST", "/", "x", "Prefer", "respond-async").Header.Get("Location")
		synctest.Wait()
		outcome = request.Answer{Status: 200, Kept: true}
		if r := w.ask("POST", location+"/retry", ""); r.StatusCode != 202 {
			t.Errorf("retry: %d", r.StatusCode)
		}
		synctest.Wait()
		if r := w.ask("GET", location+"/result", ""); r.StatusCode != 200 {
			t.Errorf("after a retry: %d", r.StatusCode)
		}
		if r := w.ask("POST", location+"/retry", ""); r.StatusCode != http.StatusConflict {
			t.Errorf("a retry of what succeeded: %d", r.StatusCode)
		}
		location = w.ask("POST", "/", "x", "Ebb-Async-Delay", "60").Header.Get("Location")
		for range 2 {
			if r := w.ask("DELETE", location, ""); r.StatusCode != 200 || described(t, r).State != request.Cancelled {
				t.Errorf("cancel: %d", r.StatusCode)
			}
		}
		if r := w.ask("GET", location+"/result", ""); r.StatusCode != http.StatusGone {
			t.Errorf("the answer of a cancelled one: %d", r.StatusCode)
		}
	})
}

func TestAskedForWithinTheTerms(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.start()
		r := w.ask("PUT", "/x", "", "Ebb-Async-Delay", "90", "Ebb-Async-Timeout", "20m", "Ebb-Async-Retry", "1", "Ebb-Async-Ttl", "5m", "Ebb-Async-Callback", "https://c.example/x")
		got, err := w.engine.Wait(context.Background(), hello, described(t, r).ID, 0)
		if err != nil || got.Due.Sub(got.Accepted) != 90*time.Second || got.Terms.Timeout != 20*time.Minute || got.Terms.Retry != 1 || got.Terms.TTL != 5*time.Minute || got.Notices[0].URL != "https://c.example/x" || got.Method != "PUT" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestRefusalsSayWhy(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.policy.Bytes = 10
		w.policy.Queue = 1
		w.app = sleeps(time.Hour)
		w.start()
		for _, c := range []struct {
			code    int
			why     string
			method  string
			path    string
			body    string
			headers []string
		}{
			{413, async.MaxBytesKey, "POST", "/", "12345678901", nil},
			{400, "whole seconds", "POST", "/", "", []string{"Ebb-Async-Delay", "soon"}},
			{400, "whole seconds", "POST", "/", "", []string{"Ebb-Async-Timeout", "2h"}},
			{400, "whole number", "POST", "/", "", []string{"Ebb-Async-Retry", "6"}},
			{400, "no URL", "POST", "/", "", []string{"Ebb-Async-Callback", "ftp://x"}},
			{400, "characters", "POST", "/", "", []string{"Idempotency-Key", strings.Repeat("k", 256)}},
			{400, "Upgrade", "GET", "/", "", []string{"Upgrade", "websocket", "Connection", "upgrade"}},
			{404, "no such request", "GET", async.Path + "nobody", "", nil},
			{404, "no such request", "GET", async.Path, "", nil},
			{404, "no such request", "GET", async.Path + "nobody/result", "", nil},
			{404, "no such request", "DELETE", async.Path + "nobody", "", nil},
			{404, "no such request", "POST", async.Path + "nobody/retry", "", nil},
			{405, "only GET", "POST", async.Path + "nobody", "", nil},
			{405, "only POST", "GET", async.Path + "nobody/retry", "", nil},
			{400, "no gateway", "POST", "/", "", []string{async.ServiceHeader, ""}},
			{400, "no gateway", "POST", "/", "", []string{async.ServiceHeader, "default"}},
			{202, "queued", "POST", "/", "", nil},
			{503, async.QueueKey, "POST", "/", "", nil},
		} {
			r := w.ask(c.method, c.path, c.body, c.headers...)
			text := body(t, r)
			if r.StatusCode != c.code || !strings.Contains(text, c.why) {
				t.Errorf("%s %s %v: %d %s", c.method, c.path, c.headers, r.StatusCode, text)
			}
			if (c.code == 503) != (r.Header.Get("Retry-After") != "") {
				t.Errorf("%d: Retry-After %q", c.code, r.Header.Get("Retry-After"))
			}
		}
		know := func(err error) { w.mu.Lock(); defer w.mu.Unlock(); w.unknown = err }
		know(fmt.Errorf("Route default/hello: %w", ErrUnknown))
		if r := w.ask("POST", "/", ""); r.StatusCode != 404 {
			t.Errorf("a Service that is gone: %d", r.StatusCode)
		}
		know(errors.New("the API is away"))
		if r := w.ask("POST", "/", ""); r.StatusCode != 503 {
			t.Errorf("nothing is known of the Service: %d", r.StatusCode)
		}
	})
}
