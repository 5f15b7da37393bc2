package broker

import (
	"context"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"ebb.dev/ebb/crds/config"
	"ebb.dev/ebb/eventing/trace/otlp"
)

// traceService is what spans say that they are of, unless the environment says otherwise.
const traceService = "ebb-broker"

// flushTraces bounds sending what is left when tracing ends.
const flushTraces = 3 * time.Second

// trace has spans go where the environment says, or else where config-observability says, as that changes, until the context ends.
func (p *process) trace(ctx context.Context) error {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { p.Log.Warn("spans not sent", "error", err) }))
	t := &tracing{process: p}
	defer t.use(context.WithoutCancel(ctx), otlp.Settings{})
	if s, decides := otlp.FromEnvironment(os.Getenv); decides {
		t.use(ctx, s)
		<-ctx.Done()
		return nil
	}
	source, err := p.configMap(config.EventingObservabilityName)
	if err != nil {
		return err
	}
	followConfigMap(ctx, source, func(data map[string]string) { t.configured(ctx, data) })
	return nil
}

// tracing is where spans go now.
type tracing struct {
	*process
	settings otlp.Settings
	provider *sdk.TracerProvider
}

// configured does what config-observability says; where it is wrong, everything stays as it was.
func (t *tracing) configured(ctx context.Context, data map[string]string) {
	o, _, err := config.ParseEventingObservability(data)
	if err != nil {
		t.Log.Error("tracing stays as it was", "error", err)
		return
	}
	t.use(ctx, otlp.FromConfig(o))
}

// use has spans go where settings say.
func (t *tracing) use(ctx context.Context, s otlp.Settings) {
	if s == t.settings {
		return
	}
	var next *sdk.TracerProvider
	if s.On() {
		var err error
		if next, err = otlp.Open(ctx, s, traceService, t.Log); err != nil {
			t.Log.Error("tracing stays as it was", "error", err)
			return
		}
		t.tracer.Use(next)
	} else {
		t.tracer.Use(nil)
	}
	old := t.provider
	t.settings, t.provider = s, next
	t.Log.Info("tracing changed", "on", s.On(), "protocol", s.Protocol, "endpoint", s.Endpoint, "rate", s.Rate, "environment", s.Environment)
	if old == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTraces)
	defer cancel()
	if err := old.Shutdown(ctx); err != nil {
		t.Log.Warn("spans that were not sent are lost", "error", err)
	}
}
