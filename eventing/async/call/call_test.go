package call

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"ebb.dev/ebb/eventing/async/journal"
	"ebb.dev/ebb/eventing/async/request"
)

func served(t *testing.T, h http.HandlerFunc) (*httptest.Server, string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s, s.Listener.Addr().String()
}

func record() request.Record {
	return request.Record{ID: "r1", Method: "PUT", Target: "/a%2Fb/c?d=e%20f", Attempts: 3, Terms: request.Terms{Timeout: 5 * time.Second, Bytes: 8}}
}

func TestAnAttemptIsTheRequestAsItCame(t *testing.T) {
	var got *http.Request
	var body string
	_, gateway := served(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, body = r, string(data)
		w.Header().Set("X-Answer", "1")
		w.Header().Set("Keep-Alive", "x")
		w.WriteHeader(201)
		_, _ = io.WriteString(w, "made")
	})
	header := KeptOfRequest(http.Header{
		"Prefer": {"respond-async, wait=3", "return=minimal"}, "Ebb-Async-Delay": {"3"}, "Ebb-Async-Attempt": {"9"}, "X-Ebb-Async-Service": {"a/b"}, "X-Request-Id": {"x"},
		"Connection": {"X-Hop, close"}, "X-Hop": {"1"}, "Te": {"trailers"}, "Authorization": {"Bearer t"}, "Idempotency-Key": {"k"}, "X-Two": {"1", "2"},
	})
	answer, kept := NewCaller(gateway).Attempt(t.Context(), record(), journal.Message{Host: "hello.default.svc.cluster.local", Header: header, Body: []byte("data")})
	if answer.Status != 201 || !answer.Kept || answer.Error != "" || string(kept.Body) != "made" || kept.Header.Get("X-Answer") != "1" || kept.Header.Get("Keep-Alive") != "" {
		t.Errorf("answer %+v, %+v", answer, kept)
	}
	if got.Method != "PUT" || got.RequestURI != "/a%2Fb/c?d=e%20f" || got.Host != "hello.default.svc.cluster.local" || body != "data" || got.ContentLength != 4 {
		t.Errorf("got %s %s of %s: %q", got.Method, got.RequestURI, got.Host, body)
	}
	for name, want := range map[string]string{
		"Prefer": "return=minimal|respond-sync", "Ebb-Async-Id": "r1", "Ebb-Async-Attempt": "3", "Ebb-Async-Delay": "", "X-Ebb-Async-Service": "", "X-Request-Id": "",
		"X-Hop": "", "Te": "", "Authorization": "Bearer t", "Idempotency-Key": "k", "X-Two": "1|2", "User-Agent": "", "Accept-Encoding": "",
	} {
		if value := strings.Join(got.Header.Values(name), "|"); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
}

func TestAnAnswerThatIsTooLargeIsNotKeptAndRedirectsAreAnswers(t *testing.T) {
	_, gateway := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/move" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "123456789")
	})
	r := record()
	answer, _ := NewCaller(gateway).Attempt(t.Context(), r, journal.Message{Host: "h"})
	if answer.Status != 200 || answer.Kept || !strings.Contains(answer.Error, "more than 8 bytes") {
		t.Errorf("%+v", answer)
	}
	r.Target, r.Method, r.Terms.Bytes = "/move", "GET", 1000
	if answer, kept := NewCaller(gateway).Attempt(t.Context(), r, journal.Message{Host: "h"}); answer.Status != 302 || kept.Header.Get("Location") != "/elsewhere" {
		t.Errorf("%+v, %+v", answer, kept)
	}
}

func TestNoAnswerSaysWhy(t *testing.T) {
	s, gateway := served(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	r := record()
	r.Terms.Timeout = 20 * time.Millisecond
	if answer, _ := NewCaller(gateway).Attempt(t.Context(), r, journal.Message{Host: "h"}); answer.Status != 0 || answer.Error != "no answer within 20ms" {
		t.Errorf("%+v", answer)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if answer, _ := NewCaller(gateway).Attempt(ctx, record(), journal.Message{Host: "h"}); answer.Status != 0 || answer.Error == "" {
		t.Errorf("%+v", answer)
	}
	s.Close()
	if answer, _ := NewCaller(gateway).Attempt(t.Context(), record(), journal.Message{Host: "h"}); answer.Status != 0 || !strings.Contains(answer.Error, "refused") {
		t.Errorf("%+v", answer)
	}
}

// The example of the Standard Webhooks specification's libraries.
func TestASignatureIsWhatOthersVerify(t *testing.T) {
	got := Sign([]byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if Sign([]byte("plain"), "i", time.Unix(1, 0), nil) == Sign([]byte("other"), "i", time.Unix(1, 0), nil) {
		t.Error("the key does not matter")
	}
}

func TestANoticeIsSignedAndItsAnswerSaysWhatFollows(t *testing.T) {
	code := 200
	var got *http.Request
	var body []byte
	s, address := served(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(code)
	})
	now := time.Unix(1700000000, 0)
	n := NewNotifier(NotifierOptions{Loopback: true, Now: func() time.Time { return now }})
	notice := Notice{URL: s.URL + "/done", ID: "r1", Header: http.Header{"Content-Type": {"text/plain"}}, Body: []byte("answer"), Secret: []byte("k")}
	if gone, err := n.Tell(t.Context(), notice); gone || err != nil {
		t.Fatal(gone, err)
	}
	if got.Header.Get("Webhook-Signature") != Sign([]byte("k"), "r1", now, body) || got.Header.Get("Webhook-Timestamp") != "1700000000" || got.URL.Path != "/done" {
		t.Errorf("%v", got.Header)
	}
	for status, wantGone := range map[int]bool{500: false, 410: true, 302: false, 404: false} {
		code = status
		if gone, err := n.Tell(t.Context(), notice); gone != wantGone || err == nil {
			t.Errorf("%d: %t, %v", status, gone, err)
		}
	}
	code = 204
	inside := NewNotifier(NotifierOptions{Route: func(u *url.URL) string {
		if u.Hostname() == "hook.default.svc.cluster.local" {
			return address
		}
		return ""
	}})
	notice.URL = "http://hook.default.svc.cluster.local/x"
	if _, err := inside.Tell(t.Context(), notice); err != nil || got.Host != "hook.default.svc.cluster.local" {
		t.Errorf("through the gateway: %v", err)
	}
	notice.URL = s.URL
	if _, err := inside.Tell(t.Context(), notice); err == nil || !strings.Contains(err.Error(), "no address that is told") {
		t.Errorf("loopback: %v", err)
	}
}

func TestNobodyOnTheLinkIsTold(t *testing.T) {
	for address, want := range map[string]bool{
		"169.254.169.254:80": false, "[fe80::1]:80": false, "0.0.0.0:80": false, "127.0.0.1:80": false, "[::1]:80": false, "[::ffff:169.254.169.254]:80": false,
		"224.0.0.1:80": false, "10.0.0.1:80": true, "93.184.216.34:443": true, "[2001:db8::1]:443": true,
	} {
		if err := allowed(address, false); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}
