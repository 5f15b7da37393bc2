package config

import (
	"strconv"
	"strings"
	"text/template"
	"time"
)

// ObservabilityName is the ConfigMap that ParseObservability reads.
const ObservabilityName = "config-observability"

// Export protocols.
const (
	ProtocolNone         = "none"
	ProtocolPrometheus   = "prometheus"
	ProtocolHTTPProtobuf = "http/protobuf"
	ProtocolGRPC         = "grpc"
	ProtocolStdout       = "stdout"
)

// DefaultRequestLogTemplate makes a request's log line.
const DefaultRequestLogTemplate = `{"httpRequest": {"requestMethod": "{{.Request.Method}}", "requestUrl": "{{js .Request.RequestURI}}", "requestSize": "{{.Request.ContentLength}}", "status": {{.Response.Code}}, "responseSize": "{{.Response.Size}}", "userAgent": "{{js .Request.UserAgent}}", "remoteIp": "{{js .Request.RemoteAddr}}", "serverIp": "{{.Revision.PodIP}}", "referer": "{{js .Request.Referer}}", "latency": "{{.Response.Latency}}s", "protocol": "{{.Request.Proto}}"}, "traceId": "{{.TraceID}}"}`

// Observability is what config-observability says. Treat it as immutable.
type Observability struct {
	// Metrics are those of our own parts, and RequestMetrics those of replicas' proxies.
	Metrics, RequestMetrics Export
	// Tracing says where traces go, and TracingSamplingRate which share of them, from 0 to 1.
	Tracing             Export
	TracingSamplingRate float64
	// Profiling serves pprof on port 8008, and RuntimeExportInterval is how often Go's own metrics are read.
	Profiling             bool
	RuntimeExportInterval time.Duration

	// RequestLog writes a line for each request, and ProbeRequestLog for each probe too, by RequestLogTemplate.
	RequestLog, ProbeRequestLog bool
	RequestLogTemplate          string
	// VarLogCollection asks for /var/log to be collected.
	VarLogCollection bool

	revisionURLTemplate string
}

// Export says where something is sent.
type Export struct {
	// Protocol is one of the Protocol constants.
	Protocol string
	// Endpoint is a URL, or for Prometheus the host:port to listen on; "" is the default port.
	Endpoint string
	// Interval is how often; 0 is the exporter's default.
	Interval time.Duration
}

// RevisionLogURL returns where the logs of the revision with that UID can be read, "" if nowhere.
func (o *Observability) RevisionLogURL(uid string) string {
	return strings.ReplaceAll(o.revisionURLTemplate, "${REVISION_UID}", uid)
}

// ParseObservability reads the data of config-observability.
func ParseObservability(data map[string]string) (*Observability, []string, error) {
	r := read(ObservabilityName, data)
	o := &Observability{RuntimeExportInterval: 15 * time.Second, RequestLogTemplate: DefaultRequestLogTemplate}
	metrics := []string{ProtocolNone, ProtocolPrometheus, ProtocolHTTPProtobuf, ProtocolGRPC}
	o.Metrics = r.export("metrics", metrics)
	o.RequestMetrics = r.export("request-metrics", metrics)
	o.Tracing = r.export("tracing", []string{ProtocolNone, ProtocolStdout, ProtocolHTTPProtobuf, ProtocolGRPC})
	r.share(&o.TracingSamplingRate, "tracing-sampling-rate")
	profiling := off
	choice(r, &profiling, []toggle{on, off}, "runtime-profiling")
	o.Profiling = profiling == on
	r.duration(&o.RuntimeExportInterval, "runtime-export-interval")
	if o.RuntimeExportInterval < 0 {
		r.fail("runtime-export-interval", "%v must not be negative", o.RuntimeExportInterval)
	}
	r.truth(&o.RequestLog, "logging.enable-request-log")
	r.truth(&o.ProbeRequestLog, "logging.enable-probe-request-log")
	r.truth(&o.VarLogCollection, "logging.enable-var-log-collection")
	r.text(&o.revisionURLTemplate, "logging.revision-url-template")
	o.readRequestLogTemplate(r)
	warnings, err := r.done()
	if err != nil {
		return nil, warnings, err
	}
	return o, warnings, nil
}

func (o *Observability) readRequestLogTemplate(r *reader) {
	const key = "logging.request-log-template"
	r.text(&o.RequestLogTemplate, key)
	if o.RequestLog && o.RequestLogTemplate == "" {
		r.fail(key, "is empty while logging.enable-request-log is \"true\"; remove the key for the default")
	}
	if _, err := template.New(key).Parse(o.RequestLogTemplate); err != nil {
		r.fail(key, "is no Go template: %v; remove the key for the default", err)
	}
}

func (r *reader) export(prefix string, protocols []string) Export {
	e := Export{Protocol: ProtocolNone}
	choice(r, &e.Protocol, protocols, prefix+"-protocol")
	r.text(&e.Endpoint, prefix+"-endpoint")
	if prefix != "tracing" {
		r.duration(&e.Interval, prefix+"-export-interval")
	}
	needed := e.Protocol == ProtocolHTTPProtobuf || e.Protocol == ProtocolGRPC
	switch {
	case needed && e.Endpoint == "":
		r.fail(prefix+"-endpoint", "is missing; %s-protocol %q needs one to send to", prefix, e.Protocol)
	case !needed && e.Protocol != ProtocolPrometheus && e.Endpoint != "":
		r.fail(prefix+"-endpoint", "%q is set while %s-protocol is %q, which sends nothing there; remove it or choose a protocol", e.Endpoint, prefix, e.Protocol)
	}
	if e.Interval < 0 {
		r.fail(prefix+"-export-interval", "%v must not be negative; \"0s\" is the exporter's default", e.Interval)
	}
	return e
}

func (r *reader) share(into *float64, key string) {
	if s, ok := r.value(key); ok {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || !(f >= 0 && f <= 1) {
			r.fail(key, "%q is not a share; write a number from \"0\" (none) to \"1\" (all)", s)
			return
		}
		*into = f
	}
}
