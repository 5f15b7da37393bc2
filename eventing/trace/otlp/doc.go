// Package otlp sends spans to where OpenTelemetry's environment variables or config-observability say.
//
// In: Settings. Out: a provider of tracers, to be shut down when it is not used any more.
//
// Hard rule: whoever makes spans never waits for where they go: what cannot be sent in time is dropped.
package otlp
