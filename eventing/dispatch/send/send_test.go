package send

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"ebb.dev/ebb/eventing/model"
)

func sample() *event.Event {
	e := event.New()
	e.SetID("id 1")
	e.SetSource("/s")
	e.SetType("t")
	e.SetSubject(`Euro € "50%"`)
	e.SetTime(time.Date(2026, 5, 1, 12, 0, 0, 5000, time.UTC))
	e.SetExtension("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	e.SetExtension("count", 7)
	_ = e.SetData("application/json", []byte(`{"a":1}`))
	return &e
}

// serve runs a server and returns its URL.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// sender is a Sender that is closed with the test.
func sender(t *testing.T, o Options) *Sender {
	t.Helper()
	s := New(o)
	t.Cleanup(s.Close)
	return s
}

func TestBinaryModeIsWhatTheBindingAsks(t *testing.T) {
	var got *http.Request
	var body []byte
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
	})
	a := sender(t, Options{}).Send(t.Context(), Request{Event: sample(), To: model.Destination{URL: u + "/path?q=1"}, WantReply: true, Timeout: time.Minute})
	if a.Status != 202 || a.Reply != nil || a.Err != nil {
		t.Fatalf("answer: %+v", a)
	}
	for name, want := range map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": "id%201", "Ce-Source": "/s", "Ce-Type": "t", "Ce-Subject": "Euro%20%E2%82%AC%20%2250%25%22",
		"Ce-Time": "2026-05-01T12:00:00.000005Z", "Ce-Count": "7", "Content-Type": "application/json", "Prefer": "reply",
		"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Content-Length": "7",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if string(body) != `{"a":1}` || got.URL.RequestURI() != "/path?q=1" || got.Method != http.MethodPost {
		t.Errorf("%s %s %s", got.Method, got.URL, body)
	}
}

func TestStructuredModeIsOneDocument(t *testing.T) {
	var got *event.Event
	var header http.Header
	u := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		got, _ = cehttp.NewEventFromHTTPRequest(r)
	})
	e := sample()
	sender(t, Options{}).Send(t.Context(), Request{Event: e, To: model.Destination{URL: u}, Structured: true})
	if got == nil || got.Subject() != e.Subject() || string(got.Data()) != `{"a":1}` || header.Get("Ce-Id") != "" {
		t.Errorf("got %v, header %v", got, header)
	}
	if header.Get("Traceparent") == "" || header.Get("Prefer") != "" {
		t.Error("header:", header)
	}
}

func TestRepliesAreReadInBothModesAndNothingElseIsOne(t *testing.T) {
	binary := func(w http.ResponseWriter) {
		h := w.Header()
		h.Set("Ce-Specversion", "1.0")
		h.Set("Ce-Id", "r%201")
		h.Set("Ce-Source", "/r")
		h.Set("Ce-Type", "reply")
		h.Set("Ce-Extra", "100%")
		h.Set("Content-Type", "text/plain")
	}
	for _, c := range []struct {
		name             string
		answer           func(http.ResponseWriter)
		reply, malformed bool
	}{
		{"binary", func(w http.ResponseWriter) { binary(w); _, _ = io.WriteString(w, "hello") }, true, false},
		{"structured", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/cloudevents+json")
			_, _ = io.WriteString(w, `{"specversion":"1.0","id":"r 1","source":"/r","type":"reply","extra":"100%","datacontenttype":"text/plain","data":"hello"}`)
		}, true, false},
		{"202 is never one", func(w http.ResponseWriter) { binary(w); w.WriteHeader(202) }, false, false},
		{"201 is never one", func(w http.ResponseWriter) { binary(w); w.WriteHeader(201) }, false, false},
		{"nothing", func(http.ResponseWriter) {}, false, false},
		{"another body", func(w http.ResponseWriter) { _, _ = io.WriteString(w, "thanks") }, false, false},
		{"no source", func(w http.ResponseWriter) { binary(w); w.Header().Del("Ce-Source") }, false, true},
		{"not JSON", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/cloudevents+json")
			_, _ = io.WriteString(w, `{`)
		}, false, true},
		{"a batch", func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/cloudevents-batch+json")
			_, _ = io.WriteString(w, `[]`)
		}, false, true},
		{"too large", func(w http.ResponseWriter) { binary(w); _, _ = io.WriteString(w, strings.Repeat("x", 65)) }, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := serve(t, func(w http.ResponseWriter, _ *http.Request) { c.answer(w) })
			a := sender(t, Options{ReplyBytes: 200}).Send(t.Context(), Request{Event: sample(), To: model.Destination{URL: u}})
			if c.name == "too large" {
				a = sender(t, Options{ReplyBytes: 64}).Send(t.Context(), Request{Event: sample(), To: model.Destination{URL: u}})
			}
			if (a.Reply != nil) != c.reply || a.Malformed != c.malformed || a.Err != nil {
				t.Fatalf("%+v", a)
			}
			if c.reply && (a.Reply.ID() != "r 1" || a.Reply.Extensions()["extra"] != "100%" || string(a.Reply.Data()) != "hello") {
				t.Error(a.Reply)
			}
		})
	}
}

func TestRefusalsAreCutAndRedirectsAreNotFollowed(t *testing.T) {
	hits := 0
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		hits++
		w.Header().Set("Location", "/elsewhere")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTemporaryRedirect)
		_, _ = io.WriteString(w, strings.Repeat("no ", 2000))
	})
	a := sender(t, Options{}).Send(t.Context(), Request{Event: sample(), To: model.Destination{URL: u}})
	if a.Status != 307 || len(a.Text) != 1024 || a.RetryAfter != "7" || hits != 1 {
		t.Errorf("%d hits, status %d, %d bytes, %q", hits, a.Status, len(a.Text), a.RetryAfter)
	}
}

func TestNoAnswerSaysWhy(t *testing.T) {
	hold := make(chan struct{})
	slow := serve(t, func(http.ResponseWriter, *http.Request) { <-hold })
	defer close(hold)
	gone := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s := sender(t, Options{})
	for name, c := range map[string]struct {
		to   model.Destination
		want string
	}{
		"timeout":   {model.Destination{URL: slow}, "no answer within 20ms"},
		"cut":       {model.Destination{URL: gone}, "EOF"},
		"no scheme": {model.Destination{URL: "service/path"}, "not an absolute"},
		"no token":  {model.Destination{URL: gone, Audience: "a"}, "nothing to make one"},
		"bad roots": {model.Destination{URL: gone, CACerts: "nonsense"}, "no PEM certificate"},
	} {
		timeout := time.Minute
		if name == "timeout" {
			timeout = 20 * time.Millisecond
		}
		a := s.Send(context.Background(), Request{Event: sample(), To: c.to, Timeout: timeout})
		if a.Status != 0 || a.Err == nil || !strings.Contains(a.Text, c.want) {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestInClusterURLsGoThroughTheGateway(t *testing.T) {
	var host string
	gateway := serve(t, func(_ http.ResponseWriter, r *http.Request) { host = r.Host })
	address := strings.TrimPrefix(gateway, "http://")
	s := sender(t, Options{Route: func(u *url.URL) string {
		if strings.HasSuffix(u.Hostname(), ".svc.cluster.local") {
			return address
		}
		return ""
	}})
	a := s.Send(t.Context(), Request{Event: sample(), To: model.Destination{URL: "http://shop.default.svc.cluster.local/x"}})
	if a.Status != 200 || host != "shop.default.svc.cluster.local" {
		t.Errorf("%+v, host %q", a, host)
	}
	if a := s.Send(t.Context(), Request{Event: sample(), To: model.Destination{URL: gateway}}); a.Status != 200 || host != address {
		t.Errorf("direct: %+v, host %q", a, host)
	}
}

func TestTLSTrustsTheDestinationsRootsAndSendsItsToken(t *testing.T) {
	var token, host string
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		token, host = r.Header.Get("Authorization"), r.Host
	}))
	defer server.Close()
	roots := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	address := server.Listener.Addr().String()
	s := sender(t, Options{
		Route:    func(*url.URL) string { return address },
		Identity: &known{},
	})
	to := model.Destination{URL: "https://example.com/x", CACerts: roots, Audience: "shop"}
	if a := s.Send(t.Context(), Request{Event: sample(), To: to}); a.Status != 200 || token != "Bearer for-shop" || host != "example.com" {
		t.Errorf("%+v, token %q, host %q", a, token, host)
	}
	to.CACerts = ""
	if a := s.Send(t.Context(), Request{Event: sample(), To: to}); a.Status != 0 || !strings.Contains(a.Text, "certificate") {
		t.Errorf("without roots: %+v", a)
	}
}

// known is an Identity that has tokens for one audience, and takes 401 for a reason to make another one.
type known struct{ doubted []string }

func (k *known) Token(_ context.Context, as model.Account, to model.Destination) (string, error) {
	switch to.Audience {
	case "":
		return "", nil
	case "shop":
		return fmt.Sprintf("%sfor-%s", as.Key.Name, to.Audience), nil
	}
	return "", errors.New("another audience")
}

func (k *known) Doubted(_ context.Context, _ model.Account, _ model.Destination, token string) bool {
	k.doubted = append(k.doubted, token)
	return token != ""
}

func TestWhoCannotSayWhoItIsHasNotSent(t *testing.T) {
	code, hits := http.StatusUnauthorized, 0
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		hits++
		w.WriteHeader(code)
	})
	identity := &known{}
	s := sender(t, Options{Identity: identity})
	shop := model.Destination{URL: u, Audience: "shop"}
	till := model.Account{Key: model.Key{Namespace: "default", Name: "till-"}}
	if a := s.Send(t.Context(), Request{Event: sample(), To: model.Destination{URL: u, Audience: "bank"}, As: till}); !a.Unsent() || a.Status != 0 || a.Err == nil || hits != 0 {
		t.Errorf("without a token: %+v, %d requests", a, hits)
	}
	if a := s.Send(t.Context(), Request{Event: sample(), To: shop, As: till}); !a.Unsent() || a.Status != code || identity.doubted[0] != "till-for-shop" {
		t.Errorf("a token that is not taken: %+v, %v", a, identity.doubted)
	}
	if a := s.Send(t.Context(), Request{Event: sample(), To: model.Destination{URL: u}, As: till}); a.Unsent() || a.Status != code {
		t.Errorf("nobody asks: %+v", a)
	}
	code = http.StatusForbidden
	if a := s.Send(t.Context(), Request{Event: sample(), To: shop, As: till}); a.Unsent() || a.Status != code {
		t.Errorf("who may not: %+v", a)
	}
}

// A gateway that does not know a host yet answers 404, as the host itself may. Only what Route leads elsewhere can be missing.
func TestWhatFindsNoWayYetHasNotBeenSent(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	gateway := strings.TrimPrefix(u, "http://")
	missing := true
	s := sender(t, Options{
		Route: func(*url.URL) string { return gateway },
		Missing: func(host string, at time.Time) bool {
			if host != "display.shop.svc" || time.Since(at) > time.Minute {
				t.Errorf("%s at %s", host, at)
			}
			return missing
		},
	})
	to := Request{Event: sample(), To: model.Destination{URL: "http://display.shop.svc:80/path"}}
	if a := s.Send(t.Context(), to); !a.Unsent() || a.Again <= 0 || a.Text != "the gateways do not lead to display.shop.svc:80 yet" {
		t.Errorf("%+v", a)
	}
	missing = false
	if a := s.Send(t.Context(), to); a.Unsent() || a.Status != http.StatusNotFound {
		t.Errorf("%+v", a)
	}
	missing = true
	direct := Request{Event: sample(), To: model.Destination{URL: u}}
	if a := s.Send(t.Context(), direct); a.Unsent() || a.Status != http.StatusNotFound {
		t.Errorf("%+v", a)
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "a b", "50%", "%41", "€\"\x00", "%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		escaped := escape(s)
		for i := range len(escaped) {
			if !plain(escaped[i]) && escaped[i] != '%' {
				t.Fatalf("%q: byte %q", escaped, escaped[i])
			}
		}
		if got := unescape(escaped); got != strings.ToValidUTF8(s, "\uFFFD") && strings.Contains(escaped, "%") {
			t.Fatalf("%q, %q, %q", s, escaped, got)
		}
	})
}

func TestABodyThatDoesNotEndHoldsUpNothing(t *testing.T) {
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	a := sender(t, Options{}).Send(t.Context(), Request{Event: sample(), To: model.Destination{URL: u}, Timeout: time.Hour})
	if a.Status != 200 || a.Err != nil {
		t.Errorf("%+v", a)
	}
}

func FuzzReply(f *testing.F) {
	f.Add("", "1.0", "id", "/s", "t", []byte("data"))
	f.Add("application/cloudevents+json", "", "", "", "", []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1}`))
	f.Add("application/cloudevents+json; charset=utf-8", "0.3", "%41", "", "", []byte(`{"data_base64":"!"}`))
	f.Fuzz(func(t *testing.T, contentType, version, id, source, kind string, body []byte) {
		h := http.Header{}
		for name, v := range map[string]string{
			"Content-Type": contentType, "Ce-Specversion": version, "Ce-Id": id, "Ce-Source": source, "Ce-Type": kind,
		} {
			if v != "" {
				h.Set(name, v)
			}
		}
		e, err := reply(h, body)
		if (e == nil) == (err == nil) {
			t.Fatalf("%v, %v", e, err)
		}
		if e == nil {
			return
		}
		for _, structured := range []bool{false, true} {
			if _, _, err := encode(e, structured); err != nil {
				t.Logf("a reply that cannot be sent on: %v", err)
			}
		}
	})
}
