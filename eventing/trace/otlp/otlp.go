package otlp

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"ebb.dev/ebb/crds/config"
)

// Settings say where spans go. The zero value is nowhere.
type Settings struct {
	// Protocol is one of config's: grpc, http/protobuf, stdout (our own log); empty and none are nowhere.
	Protocol string
	// Endpoint is a URL, or host:port; empty is what the environment says.
	Endpoint string
	// Rate is the share of traces that is kept where the sender does not say, from 0 to 1.
	Rate float64
	// Environment says that the environment decides: the sampler too.
	Environment bool
}

// On says whether spans go anywhere.
func (s Settings) On() bool { return s.Protocol != "" && s.Protocol != config.ProtocolNone }

// FromEnvironment reads OpenTelemetry's variables. They decide if one of them names an endpoint, or says that there is to be no tracing.
func FromEnvironment(getenv func(string) string) (s Settings, decides bool) {
	off := strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || getenv("OTEL_TRACES_EXPORTER") == config.ProtocolNone
	endpoint := cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	switch {
	case off:
		return Settings{Environment: true}, true
	case endpoint == "":
		return Settings{}, false
	}
	protocol := cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), config.ProtocolHTTPProtobuf)
	return Settings{Protocol: protocol, Environment: true}, true
}

// FromConfig reads what config-observability says.
func FromConfig(o *config.EventingObservability) Settings {
	if o == nil || o.Tracing.Protocol == config.ProtocolNone {
		return Settings{}
	}
	return Settings{Protocol: o.Tracing.Protocol, Endpoint: o.Tracing.Endpoint, Rate: o.TracingSamplingRate}
}

// Open makes a provider whose spans say that they are of a service. Where they go is not asked whether it is there.
func Open(ctx context.Context, s Settings, service string, logger *slog.Logger) (*sdk.TracerProvider, error) {
	exporter, err := s.exporter(ctx, logger)
	if err != nil {
		return nil, fmt.Errorf("tracing by %s to %s: %w", s.Protocol, cmp.Or(s.Endpoint, "what the environment says"), err)
	}
	// What the environment says comes last: it wins.
	r, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", service)), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("tracing: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	options := []sdk.TracerProviderOption{sdk.WithBatcher(exporter), sdk.WithResource(r)}
	if !s.Environment {
		options = append(options, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(s.Rate))))
	}
	return sdk.NewTracerProvider(options...), nil
}

func (s Settings) exporter(ctx context.Context, logger *slog.Logger) (sdk.SpanExporter, error) {
	isURL := strings.Contains(s.Endpoint, "://")
	switch s.Protocol {
	case config.ProtocolHTTPProtobuf:
		var o []otlptracehttp.Option
		if isURL {
			o = append(o, otlptracehttp.WithEndpointURL(s.Endpoint))
		} else if s.Endpoint != "" {
			o = append(o, otlptracehttp.WithEndpoint(s.Endpoint))
		}
		return otlptracehttp.New(ctx, o...)
	case config.ProtocolGRPC:
		var o []otlptracegrpc.Option
		if isURL {
			o = append(o, otlptracegrpc.WithEndpointURL(s.Endpoint))
		} else if s.Endpoint != "" {
			o = append(o, otlptracegrpc.WithEndpoint(s.Endpoint))
		}
		return otlptracegrpc.New(ctx, o...)
	case config.ProtocolStdout:
		return logged{logger}, nil
	}
	return nil, fmt.Errorf("protocol %q: must be %s, %s or %s", s.Protocol, config.ProtocolHTTPProtobuf, config.ProtocolGRPC, config.ProtocolStdout)
}

// logged writes spans into our own log.
type logged struct{ logger *slog.Logger }

func (l logged) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	for _, s := range spans {
		values := make([]any, 0, 2*len(s.Attributes()))
		for _, a := range s.Attributes() {
			values = append(values, string(a.Key), a.Value.AsInterface())
		}
		l.logger.Info("span", "name", s.Name(), "trace", s.SpanContext().TraceID(), "span", s.SpanContext().SpanID(), "parent", s.Parent().SpanID(),
			"start", s.StartTime(), "took", s.EndTime().Sub(s.StartTime()), "status", s.Status().Code, "error", s.Status().Description, slog.Group("attributes", values...))
	}
	return nil
}

func (logged) Shutdown(context.Context) error { return nil }
