package ingress

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"ebb.dev/ebb/eventing/log"
	"ebb.dev/ebb/eventing/model"
)

// recorder is the log as the ingress sees it.
type recorder struct {
	log.Log
	mu     sync.Mutex
	stored map[model.StreamID][]*event.Event
	err    error
	// hold, if set, is waited for by every Append.
	hold chan struct{}
	held chan struct{}
}

func (r *recorder) Append(_ context.Context, id model.StreamID, events ...*event.Event) ([]log.Position, error) {
	if r.hold != nil {
		r.held <- struct{}{}
		<-r.hold
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	r.stored[id] = append(r.stored[id], events...)
	return make([]log.Position, len(events)), nil
}

var (
	broker  = model.Stream{ID: "b", Kind: model.Broker, Key: model.Key{Namespace: "default", Name: "shop"}, Limits: model.Limits{Event: 1000}}
	channel = model.Stream{ID: "c", Kind: model.Channel, Key: model.Key{Namespace: "default", Name: "pipe"}, Hosts: []string{"pipe-kn-channel.default.svc.cluster.local"}}
)

var at = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func newTest(o Options) (*Handler, *recorder, *Registry) {
	r := &recorder{stored: make(map[model.StreamID][]*event.Event)}
	streams := &Registry{}
	streams.Replace([]model.Stream{broker, channel})
	o.Log, o.Streams, o.Now = r, streams, func() time.Time { return at }
	return New(o), r, streams
}

// structured is a valid event in JSON, with more attributes.
func structured(more string) string {
	return `{"specversion":"1.0","id":"1","source":"/s","type":"t"` + more + `}`
}

func request(method, target, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "http://broker-ingress.knative-eventing.svc.cluster.local"+target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

var binaryHeaders = []string{"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t", "Content-Type", "text/plain"}

func binaryWith(more ...string) []string {
	return append(append([]string(nil), binaryHeaders...), more...)
}

const (
	jsonType  = "application/cloudevents+json"
	batchType = "application/cloudevents-batch+json"
)

// TestWire is the table of what a sender gets for what it sends.
func TestWire(t *testing.T) {
	for name, c := range map[string]struct {
		request *http.Request
		failure error
		code    int
		stored  int
		says    string
	}{
		"binary":                          {request("POST", "/default/shop", "hello", binaryHeaders...), nil, 202, 1, ""},
		"binary without data":             {request("POST", "/default/shop", "", binaryHeaders...), nil, 202, 1, ""},
		"binary 0.3":                      {request("POST", "/default/shop", "x", binaryWith("Ce-Specversion", "0.3")...), nil, 202, 1, ""},
		"trailing slash":                  {request("POST", "/default/shop/", "x", binaryHeaders...), nil, 202, 1, ""},
		"structured":                      {request("POST", "/default/shop", structured(`,"data":{"a":1}`), "Content-Type", jsonType+"; charset=utf-8"), nil, 202, 1, ""},
		"batch":                           {request("POST", "/default/shop", "["+structured("")+","+structured("")+"]", "Content-Type", batchType), nil, 202, 2, ""},
		"empty batch":                     {request("POST", "/default/shop", "[]", "Content-Type", batchType), nil, 202, 0, ""},
		"batch with a bad event":          {request("POST", "/default/shop", "["+structured("")+`,{"specversion":"1.0","id":"2"}]`, "Content-Type", batchType), nil, 400, 0, "event 1 of the batch"},
		"no event":                        {request("POST", "/default/shop", "hello", "Content-Type", "text/plain"), nil, 400, 0, "ce-specversion"},
		"unknown version":                 {request("POST", "/default/shop", "", binaryWith("Ce-Specversion", "2.0")...), nil, 400, 0, `"2.0"`},
		"no id":                           {request("POST", "/default/shop", "", binaryWith("Ce-Id", "")...), nil, 400, 0, "id"},
		"bad time":                        {request("POST", "/default/shop", "", binaryWith("Ce-Time", "yesterday")...), nil, 400, 0, "yesterday"},
		"bad attribute name":              {request("POST", "/default/shop", "", binaryWith("Ce-My_ext", "1")...), nil, 400, 0, "letters"},
		"malformed JSON":                  {request("POST", "/default/shop", `{"id":`, "Content-Type", jsonType), nil, 400, 0, "malformed"},
		"malformed batch":                 {request("POST", "/default/shop", `{"id":1}`, "Content-Type", batchType), nil, 400, 0, "malformed"},
		"unknown format":                  {request("POST", "/default/shop", "<event/>", "Content-Type", "application/cloudevents+xml"), nil, 415, 0, "application/cloudevents+json"},
		"compressed":                      {request("POST", "/default/shop", "x", binaryWith("Content-Encoding", "gzip")...), nil, 415, 0, "uncompressed"},
		"unknown Broker":                  {request("POST", "/default/shopp", "x", binaryHeaders...), nil, 404, 0, "no Broker shopp in namespace default"},
		"neither Broker nor Channel":      {request("POST", "/", "x", binaryHeaders...), nil, 404, 0, "/NAMESPACE/NAME"},
		"half a path":                     {request("POST", "/default", "x", binaryHeaders...), nil, 400, 0, "/NAMESPACE/NAME"},
		"long path":                       {request("POST", "/default/shop/x", "x", binaryHeaders...), nil, 400, 0, "/NAMESPACE/NAME"},
		"GET":                             {request("GET", "/default/shop", ""), nil, 405, 0, "POST"},
		"PUT for what is not there":       {request("PUT", "/default/nothing", "x", binaryHeaders...), nil, 405, 0, "POST"},
		"OPTIONS":                         {request("OPTIONS", "/default/shop", "", "WebHook-Request-Origin", "example.com"), nil, 200, 0, ""},
		"too large":                       {request("POST", "/default/shop", strings.Repeat("x", 1001), binaryHeaders...), nil, 413, 0, "1000"},
		"TTL of one":                      {request("POST", "/default/shop", "", binaryWith("Ce-Knativebrokerttl", "1")...), nil, 400, 0, "knativebrokerttl"},
		"TTL of zero":                     {request("POST", "/default/shop", "", binaryWith("Ce-Knativebrokerttl", "0")...), nil, 400, 0, "knativebrokerttl"},
		"TTL below zero":                  {request("POST", "/default/shop", "", binaryWith("Ce-Knativebrokerttl", "-2147483648")...), nil, 400, 0, "knativebrokerttl"},
		"TTL of two":                      {request("POST", "/default/shop", "", binaryWith("Ce-Knativebrokerttl", "2")...), nil, 202, 1, ""},
		"full":                            {request("POST", "/default/shop", "x", binaryHeaders...), fmt.Errorf("stream: %w", log.ErrFull), 503, 0, "full"},
		"log not available":               {request("POST", "/default/shop", "x", binaryHeaders...), log.ErrUnavailable, 503, 0, "not available"},
		"too large for the log":           {request("POST", "/default/shop", "x", binaryHeaders...), log.ErrTooLarge, 413, 0, "too large"},
		"Broker that has just gone":       {request("POST", "/default/shop", "x", binaryHeaders...), log.ErrUnknown, 404, 0, "no such stream"},
		"not stored for any other reason": {request("POST", "/default/shop", "x", binaryHeaders...), errors.New("what"), 503, 0, "what"},
	} {
		t.Run(name, func(t *testing.T) {
			h, stored, _ := newTest(Options{})
			stored.err = c.failure
			w := httptest.NewRecorder()
			h.ServeHTTP(w, c.request)
			if w.Code != c.code || len(stored.stored["b"]) != c.stored || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%d, %d stored, %q", w.Code, len(stored.stored["b"]), w.Body)
			}
			if w.Header().Get("Allow") != "POST, OPTIONS" || (w.Header().Get("Retry-After") != "") != (c.code == 503) {
				t.Error(w.Header())
			}
			for _, e := range stored.stored["b"] {
				if e.SpecVersion() != "1.0" || e.Validate() != nil {
					t.Error(e)
				}
			}
		})
	}
}

func TestChannelIsReachedByItsHost(t *testing.T) {
	for _, c := range []struct {
		host, path string
		code       int
	}{
		{"pipe-kn-channel.default.svc.cluster.local", "/", 202},
		{"Pipe-KN-channel.default.svc.cluster.local:80", "/", 202},
		{"pipe-kn-channel.default.svc.cluster.local.", "/", 202},
		{"pipe-kn-channel.default.svc.cluster.local", "/default/shop", 404},
		{"other-kn-channel.default.svc.cluster.local", "/", 404},
	} {
		h, stored, _ := newTest(Options{})
		r := request("POST", c.path, "x", binaryHeaders...)
		r.Host = c.host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.code || (len(stored.stored["c"]) == 1) != (c.code == 202) {
			t.Errorf("%s%s: %d %s", c.host, c.path, w.Code, w.Body)
		}
		for _, e := range stored.stored["c"] {
			if len(e.Extensions()) > 0 {
				t.Errorf("a Channel leaves events as they are: %v", e)
			}
		}
	}
}

func TestBrokerStampsWhatEnters(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, c := range map[string]struct {
		headers []string
		want    map[string]string
	}{
		"first time":       {nil, map[string]string{"knativebrokerttl": "255", "knativearrivaltime": "2026-03-04T05:06:07Z"}},
		"again":            {[]string{"Ce-Knativebrokerttl", "7"}, map[string]string{"knativebrokerttl": "6"}},
		"no number":        {[]string{"Ce-Knativebrokerttl", "x"}, map[string]string{"knativebrokerttl": "255"}},
		"trace":            {[]string{"Traceparent", parent, "Tracestate", "a=b"}, map[string]string{"traceparent": parent, "tracestate": "a=b"}},
		"trace of its own": {[]string{"Traceparent", parent, "Ce-Traceparent", "mine"}, map[string]string{"traceparent": "mine", "tracestate": "<nil>"}},
		"no trace":         {[]string{"Traceparent", "nonsense"}, map[string]string{"traceparent": "<nil>"}},
	} {
		h, stored, _ := newTest(Options{})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("POST", "/default/shop", "x", binaryWith(c.headers...)...))
		if w.Code != 202 {
			t.Fatalf("%s: %d %s", name, w.Code, w.Body)
		}
		for key, want := range c.want {
			if got := fmt.Sprint(stored.stored["b"][0].Extensions()[key]); got != want {
				t.Errorf("%s: %s is %s, want %s", name, key, got, want)
			}
		}
	}
}

func TestReplyEntersAsARequestDoesButTakesNoHop(t *testing.T) {
	h, stored, _ := newTest(Options{})
	e := event.New()
	e.SetID("1")
	e.SetSource("/s")
	e.SetType("t")
	fresh := e.Clone()
	e.SetExtension("knativebrokerttl", 3)
	if err := h.Accept(t.Context(), "b", &e, &fresh); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"3", "255"} {
		if got := fmt.Sprint(stored.stored["b"][i].Extensions()["knativebrokerttl"]); got != want {
			t.Errorf("%s hops, want %s", got, want)
		}
	}
	e.SetExtension("knativebrokerttl", 0)
	if err := h.Accept(t.Context(), "b", &e); !errors.Is(err, log.ErrInvalid) {
		t.Errorf("an event without hops left: %v", err)
	}
	if err := h.Accept(t.Context(), "nothing", &e); !errors.Is(err, log.ErrUnknown) {
		t.Error(err)
	}
	stored.err = log.ErrFull
	if err := h.Accept(t.Context(), "b", &fresh); !errors.Is(err, log.ErrFull) {
		t.Error(err)
	}
}

func TestChunkedBodyIsBoundedToo(t *testing.T) {
	h, _, _ := newTest(Options{})
	r := request("POST", "/default/shop", strings.Repeat("x", 2000), binaryHeaders...)
	r.ContentLength = -1
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Fatal(w.Code)
	}
}

func TestOneBrokerDoesNotTakeTheRoomOfAnother(t *testing.T) {
	h, stored, _ := newTest(Options{StreamRequests: 1})
	stored.hold, stored.held = make(chan struct{}), make(chan struct{}, 2)
	done := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("POST", "/default/shop", "x", binaryHeaders...))
		done <- w.Code
	}()
	<-stored.held
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request("POST", "/default/shop", "x", binaryHeaders...))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
		t.Errorf("past its bound: %d %v", w.Code, w.Header())
	}
	go func() {
		w := httptest.NewRecorder()
		r := request("POST", "/", "x", binaryHeaders...)
		r.Host = channel.Hosts[0]
		h.ServeHTTP(w, r)
		done <- w.Code
	}()
	<-stored.held
	close(stored.hold)
	for range 2 {
		if code := <-done; code != http.StatusAccepted {
			t.Error(code)
		}
	}
	if left := h.total.Load(); left != 0 {
		t.Errorf("%d bytes are still reserved", left)
	}
}

func TestRegistryChangesAreSeenAtOnce(t *testing.T) {
	h, _, streams := newTest(Options{})
	answer := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("POST", "/default/shop", "x", binaryHeaders...))
		return w.Code
	}
	remade := broker
	remade.ID = "b2"
	streams.Set(remade)
	streams.Delete("b")
	if code := answer(); code != http.StatusAccepted {
		t.Error(code)
	}
	streams.Delete("b2")
	if code := answer(); code != http.StatusNotFound {
		t.Error(code)
	}
}

func TestMetricsAreOfTheBroker(t *testing.T) {
	registry := prometheus.NewRegistry()
	h, _, _ := newTest(Options{Metrics: registry})
	for _, r := range []*http.Request{
		request("POST", "/default/shop", "hello", binaryHeaders...),
		request("POST", "/default/shop", "hello"),
		request("POST", "/default/other", "hello", binaryHeaders...),
	} {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	want := `
# HELP ebb_event_ingress_bytes_total Bytes of the bodies of accepted requests.
# TYPE ebb_event_ingress_bytes_total counter
ebb_event_ingress_bytes_total{kind="Broker",name="shop",namespace="default"} 5
# HELP ebb_event_ingress_requests_total Requests, by the code of the answer.
# TYPE ebb_event_ingress_requests_total counter
ebb_event_ingress_requests_total{code="202",kind="Broker",name="shop",namespace="default"} 1
ebb_event_ingress_requests_total{code="400",kind="Broker",name="shop",namespace="default"} 1
ebb_event_ingress_requests_total{code="404",kind="",name="",namespace=""} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "ebb_event_ingress_bytes_total", "ebb_event_ingress_requests_total"); err != nil {
		t.Error(err)
	}
	h.Forget(broker)
	if n := testutil.CollectAndCount(h.metrics.events); n != 0 {
		t.Errorf("%d series of a Broker that is gone", n)
	}
}

// What was there before a restart must not be denied while it has not been brought back.
func TestAfterARestartWhatIsNotKnownYetMayBeTriedAgain(t *testing.T) {
	r := &Registry{}
	r.Expect("broker.1", "broker.2")
	h := New(Options{Streams: r})
	ask := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/default/late", nil))
		if w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
			t.Error("no word when to try again")
		}
		return w.Code
	}
	if got := ask(); got != http.StatusServiceUnavailable {
		t.Errorf("nothing has come: %d", got)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Wait(impatient); err == nil {
		t.Error("nothing has come, and nobody waits for it")
	}
	r.Set(model.Stream{ID: "broker.1"})
	if got := ask(); got != http.StatusServiceUnavailable {
		t.Errorf("one is missing: %d", got)
	}
	r.Delete("broker.2")
	if got := ask(); got != http.StatusNotFound {
		t.Errorf("all has come or gone: %d", got)
	}
	if err := r.Wait(impatient); err != nil {
		t.Errorf("all has come or gone: %v", err)
	}
	r.Expect("broker.3")
	r.Settle()
	if got := ask(); got != http.StatusNotFound {
		t.Errorf("the time for it is over: %d", got)
	}
}
