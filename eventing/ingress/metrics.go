package ingress

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ebb.dev/ebb/eventing/model"
)

// metrics are per Broker or Channel; what is for neither has empty labels.
type metrics struct {
	requests *prometheus.CounterVec
	events   *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// streamLabels name a stream.
var streamLabels = []string{"kind", "namespace", "name"}

func newMetrics(r prometheus.Registerer, streams Streams) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "ebb", Subsystem: "event_ingress", Name: name, Help: help},
			append(append([]string(nil), streamLabels...), labels...))
	}
	m := &metrics{
		requests: counter("requests_total", "Requests, by the code of the answer.", "code"),
		events:   counter("events_total", "Events accepted."),
		bytes:    counter("bytes_total", "Bytes of the bodies of accepted requests."),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "ebb", Subsystem: "event_ingress", Name: "request_duration_seconds", Help: "How long accepted requests take.",
			Buckets: []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5},
		}, streamLabels),
	}
	if r != nil {
		r.MustRegister(m.requests, m.events, m.bytes, m.seconds)
		if all, ok := streams.(interface{ All() []model.Stream }); ok {
			r.MustRegister(info{all})
		}
	}
	return m
}

// infoDesc leads from the label stream of other metrics to names.
var infoDesc = prometheus.NewDesc("ebb_event_stream_info", "Streams of the log, and the Brokers and Channels that they are; always 1.", append([]string{"stream"}, streamLabels...), nil)

// info is a collector of all streams.
type info struct {
	streams interface{ All() []model.Stream }
}

// Describe implements prometheus.Collector.
func (i info) Describe(ch chan<- *prometheus.Desc) { ch <- infoDesc }

// Collect implements prometheus.Collector.
func (i info) Collect(ch chan<- prometheus.Metric) {
	for _, s := range i.streams.All() {
		ch <- prometheus.MustNewConstMetric(infoDesc, prometheus.GaugeValue, 1, append([]string{string(s.ID)}, labels(s)...)...)
	}
}

func labels(s model.Stream) []string {
	return []string{string(s.Kind), s.Key.Namespace, s.Key.Name}
}

func (m *metrics) answered(s model.Stream, code int) {
	m.requests.WithLabelValues(append(labels(s), strconv.Itoa(code))...).Inc()
}

func (m *metrics) accepted(s model.Stream, events, bytes int, took time.Duration) {
	l := labels(s)
	m.events.WithLabelValues(l...).Add(float64(events))
	m.bytes.WithLabelValues(l...).Add(float64(bytes))
	m.seconds.WithLabelValues(l...).Observe(took.Seconds())
}

func (m *metrics) forget(s model.Stream) {
	l := prometheus.Labels{"kind": string(s.Kind), "namespace": s.Key.Namespace, "name": s.Key.Name}
	m.requests.DeletePartialMatch(l)
	m.events.DeletePartialMatch(l)
	m.bytes.DeletePartialMatch(l)
	m.seconds.DeletePartialMatch(l)
}
