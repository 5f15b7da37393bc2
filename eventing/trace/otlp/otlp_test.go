package otlp

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/eventing/trace"
)

// received hears what is exported.
type received struct {
	collector.UnimplementedTraceServiceServer
	requests chan *collector.ExportTraceServiceRequest
}

func (r *received) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.requests <- request
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *received) ServeHTTP(_ http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	var message collector.ExportTraceServiceRequest
	if err == nil && request.URL.Path == "/v1/traces" && proto.Unmarshal(body, &message) == nil {
		r.requests <- &message
	}
}

// send makes a span by settings and returns what they bring about.
func send(t *testing.T, s Settings, logger *slog.Logger) {
	t.Helper()
	p, err := Open(t.Context(), s, "ebb-broker", logger)
	if err != nil {
		t.Fatal(err)
	}
	var tracer trace.Tracer
	tracer.Use(p)
	tracer.Begin(trace.Context{}, trace.Takes, "accept", time.Now()).End(time.Now(), "")
	if err := p.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (r *received) check(t *testing.T, what string) {
	t.Helper()
	select {
	case got := <-r.requests:
		spans := got.ResourceSpans[0]
		if spans.ScopeSpans[0].Spans[0].Name != "accept" || !strings.Contains(spans.Resource.String(), "ebb-broker") {
			t.Errorf("%s: %v", what, got)
		}
	default:
		t.Errorf("%s: nothing has come", what)
	}
}

func TestSpansReachACollector(t *testing.T) {
	r := &received{requests: make(chan *collector.ExportTraceServiceRequest, 10)}
	web := httptest.NewServer(r)
	defer web.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	send(t, Settings{Protocol: config.ProtocolHTTPProtobuf, Endpoint: web.URL + "/v1/traces", Rate: 1}, nil)
	r.check(t, "HTTP")
	send(t, Settings{Protocol: config.ProtocolGRPC, Endpoint: "http://" + listener.Addr().String(), Rate: 1}, nil)
	r.check(t, "gRPC")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", web.URL)
	s, decides := FromEnvironment(func(name string) string { return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": web.URL}[name] })
	if !decides {
		t.Fatal("the environment does not decide")
	}
	send(t, s, nil)
	r.check(t, "environment")
	send(t, Settings{Protocol: config.ProtocolHTTPProtobuf, Endpoint: web.URL + "/v1/traces"}, nil)
	if len(r.requests) > 0 {
		t.Error("a rate of nothing keeps something")
	}
}

func TestSpansGoIntoTheLog(t *testing.T) {
	var b bytes.Buffer
	send(t, Settings{Protocol: config.ProtocolStdout, Rate: 1}, slog.New(slog.NewTextHandler(&b, nil)))
	if !strings.Contains(b.String(), "name=accept") {
		t.Error(b.String())
	}
}

func TestWhoDecidesWhereSpansGo(t *testing.T) {
	for _, c := range []struct {
		environment map[string]string
		want        Settings
		decides     bool
	}{
		{nil, Settings{}, false},
		{map[string]string{"OTEL_SERVICE_NAME": "a"}, Settings{}, false},
		{map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, Settings{Environment: true}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none"}, Settings{Environment: true}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, Settings{Protocol: "http/protobuf", Environment: true}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, Settings{Protocol: "grpc", Environment: true}, true},
	} {
		got, decides := FromEnvironment(func(name string) string { return c.environment[name] })
		if got != c.want || decides != c.decides {
			t.Errorf("%v: %+v, %t", c.environment, got, decides)
		}
	}
	if s := FromConfig(&config.EventingObservability{Tracing: config.Export{Protocol: config.ProtocolNone}}); s.On() || s != FromConfig(nil) {
		t.Errorf("%+v", s)
	}
	s := FromConfig(&config.EventingObservability{Tracing: config.Export{Protocol: config.ProtocolGRPC, Endpoint: "c:4317"}, TracingSamplingRate: .5})
	if s != (Settings{Protocol: "grpc", Endpoint: "c:4317", Rate: .5}) || !s.On() {
		t.Errorf("%+v", s)
	}
	if _, err := Open(t.Context(), Settings{Protocol: "zipkin"}, "a", nil); err == nil || !strings.Contains(err.Error(), "must be") {
		t.Error(err)
	}
}
